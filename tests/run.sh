#!/bin/sh
# Runs every test of a build directory: one line per test program, the output of those that fail, one line of totals.
set -eu
build=$1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# A test that eats memory fails by itself. Sanitizers reserve more than they use and have a limit of their own.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}hard_rss_limit_mb=6000:allocator_may_return_null=1"
grep -q '^NNC_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt" || ulimit -v 8388608
log=$build/tests.log
status=0
begin=$(date +%s)
ctest --test-dir "$build" --output-on-failure -j "${JOBS:-$(nproc)}" >"$log" 2>&1 || status=$?
grep -E '^ *[0-9]+/[0-9]+ Test' "$log" | sed 's/^ *//' || true
if [ $status -ne 0 ]; then
    cat "$log"
fi
total=$(sed -n 's/.*tests passed, .* tests failed out of \([0-9]*\).*/\1/p' "$log")
failed=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of .*/\1/p' "$log")
total=${total:-0}
failed=${failed:-0}
cases=$(sed -n 's/.*Synthesis: Tested: .*Passing: [^0-9]*\([0-9]*\).*/\1/p' "$build/Testing/Temporary/LastTest.log" 2>/dev/null |
    awk '{ sum += $1 } END { print sum + 0 }')
echo "$cases cases in $(($(date +%s) - begin)) s"
echo "$((total - failed)) passed, $failed failed"
[ "$total" -gt 0 ] && [ $status -eq 0 ]
