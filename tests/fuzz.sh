#!/bin/sh
# Long campaigns of what make test samples. Under the sanitizers, in BUILD-asan: every truncation, deletion, doubling, exchange and
# other characters at every byte of all programs and library files, and 100,000 damaged files for each reader of data and weights.
# In BUILD itself: random graphs and random programs, compiled against interpreted, and random graphs through every pass. Each campaign is shared by
# JOBS processes; lines say how far it is. A program that ended one is kept in BUILD-asan/fuzz.
#
#   GRAPHS=100000 SEED=7 make fuzz    other numbers and another start
#   FUZZ="test_ast" make fuzz         only these campaigns
set -eu
. "$(dirname "$0")/common.sh"
build=$1
graphs=${GRAPHS:-20000}
seed=$((${SEED:-$(date +%s)} % 1000000000))
limit=${LIMIT:-14400}
wanted=${FUZZ:-all}
start=$(date +%s)

# one_share DIR TEST K N: share K of N of a campaign. Its words and the last mutant are in $work afterwards.
one_share() {
    export NNC_FUZZ_SHARE=$3/$4 NNC_FUZZ_KEEP=$work/mutant.$3
    first=$((seed + $3 * graphs))
    export NNC_FUZZ_SEED=$first NNC_SEED=$first NNC_PROGRAM_SEED=$first
    { timeout --foreground "$limit" "$1/$2" -j1 --timeout "$limit" 2>&1 || echo "exit status $?"; } | tee "$work/out.$3" |
        sed -un "s/^fuzz: /  $2 $3: /p"
}

# campaign DIR TEST: one test program, shared by processes, to the end of all of them, with the report of those that fail.
campaign() {
    case " $wanted " in *" all "* | *" $2 "*) ;; *) return 0 ;; esac
    begin=$(date +%s)
    for share in $(seq 0 $((jobs - 1))); do
        one_share "$1" "$2" "$share" "$jobs" &
    done
    wait
    verdict=passed
    for share in $(seq 0 $((jobs - 1))); do
        if grep -qE "$reports|^exit status" "$work/out.$share" || ! grep -q 'Failing: 0' "$work/out.$share"; then
            verdict=FAILED
            mkdir -p "$build-asan/fuzz"
            [ ! -f "$work/mutant.$share" ] || cp "$work/mutant.$share" "$build-asan/fuzz/$2.$share.nn"
            grep -v '^fuzz: ' "$work/out.$share" | tail -n 60
        fi
    done
    [ $verdict = passed ] && passed=$((passed + 1)) || failed=$((failed + 1))
    echo "$verdict $2 in $(($(date +%s) - begin)) s"
}

echo "seed $seed, $graphs graphs, $jobs processes"
make_build "$build" "nnc tests"
make_build "$build-asan" tests -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNNC_SANITIZE=address,undefined
export NNC_FUZZ_ALL=1
for test in test_data_csv test_data_files test_tensor test_tokenizer test_fuzz_check test_sema_fuzz test_ast; do
    campaign "$build-asan" $test
done
export NNC_FUZZ_COUNT=$((graphs / jobs)) NNC_SEEDS=$((graphs / jobs)) NNC_FUZZ_STRIDE=1
export NNC_PROGRAM_COUNT=$((graphs / jobs / 10))
for test in test_differential test_passes test_random_graph test_gradient_random test_program_fuzz; do
    campaign "$build" $test
done
finish "make fuzz, $(($(date +%s) - start)) s"
