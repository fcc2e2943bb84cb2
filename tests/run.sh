#!/bin/sh
# Runs every test of a build directory and closes with one line of totals.
set -eu
build=$1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
log=$build/tests.log
status=0
ctest --test-dir "$build" --output-on-failure -j "$(nproc)" >"$log" 2>&1 || status=$?
grep -E 'Test +#|tests passed|Failed|Timeout' "$log" | sed 's/^ *//' || cat "$log"
if [ $status -ne 0 ]; then
    cat "$log"
fi
total=$(sed -n 's/.*tests passed, .* tests failed out of \([0-9]*\).*/\1/p' "$log")
failed=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of .*/\1/p' "$log")
total=${total:-0}
failed=${failed:-0}
echo "$((total - failed)) passed, $failed failed"
[ "$total" -gt 0 ] && [ $status -eq 0 ]
