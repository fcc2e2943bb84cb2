#!/bin/sh
# The hostile build, in BUILD-stress: containers start tiny and move at every growth, freed arenas are poisoned, schedules come in
# random legal orders. All tests, and the examples: whatever the order of the schedule and the number of threads, losses are the
# same to the bit. Then once more with guard pages, in BUILD-guard: every buffer of an arena ends at a page that nobody may touch (such
# plans share no memory, so what looks at plans stays out).
set -eu
. "$(dirname "$0")/common.sh"
build=$1

# The losses of every step, and nothing that depends on time.
losses() {
    grep '"event":"step"' "$work/stream" | sed 's/.*"step":\([0-9]*\).*"loss":\([^,}]*\).*/\1 \2/'
}

make_build "$build" nnc
make_build "$build-stress" "nnc tests" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNNC_STRESS=ON
run_tests "$build-stress" -E '^install$'
for file in $(examples); do
    run_example "$build" "$file" --json=steps --set train.steps=20 --threads 1
    losses >"$work/expected"
    for threads in 1 2 3 5 8; do
        run_example "$build-stress" "$file" --json=steps --set train.steps=20 --threads $threads
        losses >"$work/found"
        if ! cmp -s "$work/expected" "$work/found"; then
            echo "FAILED ${file#"$source"/}: losses with $threads threads in the hostile build differ"
            diff "$work/expected" "$work/found" | head -n 4
            failed=$((failed + 1))
        fi
    done
done
guarded="test_differential test_contract test_program_fuzz test_equality test_reference"
make_build "$build-guard" "nnc $guarded" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNNC_STRESS=ON -DNNC_GUARD=ON
run_tests "$build-guard" -R "^($(echo "$guarded" | tr ' ' '|'))\$"
for file in $(examples); do
    run_example "$build-guard" "$file" --set train.steps=20
done
finish "make stress"
