#!/bin/sh
# Long campaigns of what make test samples. Under the sanitizers, in BUILD-asan: every truncation, deletion, doubling, exchange and
# other characters at every byte of all programs and library files, and damaged data files. In BUILD itself: random graphs,
# compiled against interpreted, and random graphs through every pass.
#
#   GRAPHS=100000 SEED=7 make fuzz    other numbers and another start
set -eu
. "$(dirname "$0")/common.sh"
build=$1
graphs=${GRAPHS:-20000}
seed=${SEED:-$(date +%s)}
limit=${LIMIT:-14400}

# campaign DIR TEST SECONDS: one test program to its end, with its report when it fails.
campaign() {
    begin=$(date +%s)
    if "$1/$2" --timeout "$limit" >"$work/out" 2>&1 && ! grep -qE "$reports" "$work/out"; then
        passed=$((passed + 1))
        verdict=passed
    else
        failed=$((failed + 1))
        verdict=FAILED
        tail -n 60 "$work/out"
    fi
    echo "$verdict $2 in $(($(date +%s) - begin)) s: $(grep -h 'fuzz:' "$work/out" | sed 's/.*fuzz: //' | tail -n 3 | tr '\n' ' ')"
}

echo "seed $seed, $graphs graphs"
make_build "$build" "nnc tests"
make_build "$build-asan" tests -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNNC_SANITIZE=address,undefined
export NNC_FUZZ_COUNT=$graphs NNC_FUZZ_SEED=$((seed % 1000000000))
export NNC_FUZZ_STRIDE=1 NNC_SEEDS=$graphs NNC_SEED=$NNC_FUZZ_SEED
for test in test_differential test_passes test_random_graph; do
    campaign "$build" $test
done
unset NNC_SEEDS NNC_SEED NNC_FUZZ_COUNT NNC_FUZZ_SEED
export NNC_FUZZ_ALL=1
for test in test_data_csv test_data_files test_tensor test_ast test_sema_fuzz test_fuzz_check; do
    campaign "$build-asan" $test
done
finish "make fuzz"
