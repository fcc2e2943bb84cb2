# Sourced by the scripts behind make sanitize, stress, fuzz, bench and results.
source=$(cd "$(dirname "$0")/.." && pwd)
jobs=${JOBS:-$(nproc)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
reports='AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|compiler bug'
passed=0
export NNC_CACHE=off # a user's cache decides nothing here
failed=0
export LSAN_OPTIONS=suppressions=$source/tests/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}hard_rss_limit_mb=6000:allocator_may_return_null=1"

# make_build DIR TARGETS OPTION...: configures and builds there; ends the script if it does not build.
make_build() {
    directory=$1
    targets=$2
    shift 2
    if ! { cmake -S "$source" -B "$directory" -G Ninja "$@" &&
           cmake --build "$directory" -j "$jobs" --target $targets; } >"$work/build" 2>&1; then
        tail -n 40 "$work/build"
        echo "$directory did not build"
        exit 1
    fi
    echo "built $directory ($*)"
}

# run_tests DIR CTEST_ARGUMENT...: runs tests of a build; adds to passed and failed.
run_tests() {
    directory=$1
    shift
    status=0
    if ! grep -q '^NNC_SANITIZE:[A-Z]*=.' "$directory/CMakeCache.txt"; then
        ulimit -v 8388608
    fi
    ctest --test-dir "$directory" --output-on-failure -j "$jobs" "$@" >"$work/tests" 2>&1 || status=$?
    grep -E '^ *[0-9]+/[0-9]+ Test' "$work/tests" | sed 's/^ *//' || true
    total=$(sed -n 's/.*tests passed, .* tests failed out of \([0-9]*\).*/\1/p' "$work/tests")
    wrong=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of .*/\1/p' "$work/tests")
    if [ $status -ne 0 ] || [ "${total:-0}" -eq 0 ]; then
        cat "$work/tests"
        [ "${wrong:-0}" -gt 0 ] || wrong=1
    fi
    passed=$((passed + ${total:-0} - ${wrong:-0}))
    failed=$((failed + ${wrong:-0}))
}

# The programs of examples/, one path a line.
examples() {
    find "$source/examples" -name '*.nn' ! -path '*/runs/*' | LC_ALL=C sort
}

# run_example DIR FILE ARGUMENT...: trains with the command of a build; adds to passed and failed. The stream of --json is in
# $work/stream afterwards. lora.nn goes on from the weights of the first run of gpt.nn.
run_example() {
    directory=$1
    file=$2
    shift 2
    status=0
    weights=$work/gpt.safetensors
    case $file in
    */gpt.nn) [ -f "$weights" ] || set -- "$@" --save "$weights" ;;
    */lora.nn) set -- "$@" --init "$weights" --init-partial -D "gpt=\"$weights\"" ;;
    esac
    rm -rf "$work/run"
    "$directory/nnc" run "$file" --run-dir "$work/run" --json "$@" >"$work/stream" 2>"$work/errors" || status=$?
    if [ $status -ne 0 ] || grep -qE "$reports" "$work/errors" || ! grep -q '"event":"end"' "$work/stream"; then
        failed=$((failed + 1))
        echo "FAILED nnc run ${file#"$source"/} $* (exit code $status)"
        tail -n 40 "$work/errors"
        grep '"event":"error"' "$work/stream" || true
    else
        passed=$((passed + 1))
        echo "ran ${file#"$source"/} $*"
    fi
}

# finish WHAT: the closing line and the exit code of a script.
finish() {
    echo "$1: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
