#!/bin/sh
# Everything under the sanitizers of the C compiler. In BUILD-asan (addresses, leaks, undefined behaviour): all tests, and every
# example for a few steps, compiled and interpreted. In BUILD-tsan (races): all tests, through a runner that works there
# (tests/runner/plain_main.c), and every example on four threads, where generated code announces the memory it touches.
#
#   SANITIZE=tsan make sanitize    only that half
set -eu
. "$(dirname "$0")/common.sh"
build=$1
wanted=${SANITIZE:-asan tsan}
export TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1:suppressions=$source/tests/tsan.supp

addresses() {
    make_build "$build-asan" "nnc tests" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNNC_SANITIZE=address,undefined
    run_tests "$build-asan" -E '^install$|^docs$'
    for file in $(examples); do
        run_example "$build-asan" "$file" --set train.steps=6
        case $file in
        # Evaluation of 10,000 images or of a book takes the interpreter too long; test_examples has the first steps of these.
        */mnist/* | */gan.nn | */vae.nn | */gpt.nn | */lora.nn | */lstm_text.nn | */transformer.nn) ;;
        *) run_example "$build-asan" "$file" --set train.steps=2 --set train.batch=3 --engine=ref ;;
        esac
    done
}

races() {
    make_build "$build-tsan" "nnc tests" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNNC_SANITIZE=thread
    run_tests "$build-tsan" -E '^install$|^docs$'
    for file in $(examples); do
        run_example "$build-tsan" "$file" --set train.steps=6 --threads 4
    done
}

start=$(date +%s)
case " $wanted " in *" asan "*) addresses ;; esac
case " $wanted " in *" tsan "*) races ;; esac
finish "make sanitize ($wanted), $(($(date +%s) - start)) s"
