#!/bin/sh
# kill -9 at NNC_KILLS (200) random moments of training and saving of every program of tests/survive, each followed by --resume;
# and the process ended before every single system call of its saves.
set -eu
. "$(dirname "$0")/common.sh"
build=$1
make_build "$build" "nnc test_survive test_checkpoint_faults"
export NNC_KILLS="${NNC_KILLS:-200}" NNC_FUZZ_ALL=1
for test in test_survive test_checkpoint_faults; do
    if "$build/$test" --timeout 7200 >"$work/output" 2>&1; then
        passed=$((passed + 1))
        grep -E ' kills |Synthesis' "$work/output"
    else
        failed=$((failed + 1))
        cat "$work/output"
    fi
done
finish "make survive"
