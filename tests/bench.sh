#!/bin/sh
# make bench: nnc against its peers, in an optimised build, BUILD-bench. tests/bench/README.md says how a row is measured.
#
#   make bench                              everything: hours with all peers
#   ROWS="mlp lenet" make bench             rows with one of these words in their name; "kernels", "codegen", "compile" and "ulp" are the other programs
#   THREADS=1 ENGINES="jax,torch fused" ROWS=gpt-nano make bench
#
# PEERS: where tests/bench/peers.sh put the environments. The table is printed, and kept in BUILD-bench/bench as JSON and as a page.
set -eu
. "$(dirname "$0")/common.sh"
build=$1-bench
peers=${PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/nnc-peers}
make_build "$build" bench_programs -DCMAKE_BUILD_TYPE=Release

# run_program NAME ARGUMENT...
run_program() {
    echo
    echo "$1"
    if "$build/$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1"
    fi
}

words=
programs=
for word in ${ROWS:-kernels codegen compile}; do
    case $word in
    kernels | codegen | compile) programs="$programs bench_$word" ;;
    ulp) programs="$programs ulp_sweep" ;;
    *) words="$words $word" ;;
    esac
done
for name in $programs; do
    run_program "$name"
done
if [ -z "${ROWS:-}" ] || [ -n "$words" ]; then
    run_program compare "$build/worker" "$source" "$peers" "$build/bench" $words
fi
echo
finish "make bench"
