#!/bin/sh
# Runs the programs of tests/bench in an optimised build, BUILD-bench.
set -eu
. "$(dirname "$0")/common.sh"
build=$1
make_build "$build-bench" bench_programs -DCMAKE_BUILD_TYPE=RelWithDebInfo
grep -m1 'model name' /proc/cpuinfo | sed 's/.*: /processor: /' || true
for path in "$source"/tests/bench/bench_*.c; do
    name=$(basename "$path" .c)
    echo
    echo "$name"
    if "$build-bench/$name"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name"
    fi
done
echo
finish "make bench"
