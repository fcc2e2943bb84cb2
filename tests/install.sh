#!/bin/sh
# Installs into an empty folder, builds the host example against it with pkg-config and with find_package(nnc), and runs both.
set -eu
build=$1
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/tree" >"$work/log"
library=$(dirname "$(find "$work/tree" -name 'libnnc.so')")

sed "s|^prefix=.*|prefix=$work/tree|" "$library/pkgconfig/nnc.pc" >"$work/nnc.pc"
flags=$(PKG_CONFIG_PATH=$work pkg-config --cflags --libs nnc)
cc -std=c11 -Wall -Wextra -Werror "$source/examples/embed/xor.c" $flags -o "$work/xor"
LD_LIBRARY_PATH=$library "$work/xor" | tee "$work/out"
for row in '0 xor 0 = 0\.0' '0 xor 1 = (0\.9|1\.0)' '1 xor 0 = (0\.9|1\.0)' '1 xor 1 = 0\.0'; do
    grep -qE "^$row" "$work/out" || { echo "xor did not learn: $row"; exit 1; }
done
cc -std=c11 -Wall -Wextra -Werror "$source/examples/embed/host_function.c" $flags -lm -o "$work/sensor"
LD_LIBRARY_PATH=$library "$work/sensor" | tee "$work/out"
grep -q 'mean error is 0\.' "$work/out" || { echo "the host's function was not used"; exit 1; }

mkdir "$work/host"
cat >"$work/host/CMakeLists.txt" <<'E2'
cmake_minimum_required(VERSION 3.20)
project(host C)
find_package(nnc 0.1 REQUIRED)
add_executable(xor ${SOURCE})
target_link_libraries(xor nnc::nnc)
E2
cmake -S "$work/host" -B "$work/host/build" -DCMAKE_PREFIX_PATH="$work/tree" -DSOURCE="$source/examples/embed/xor.c" >"$work/log"
cmake --build "$work/host/build" >"$work/log"
"$work/host/build/xor" >/dev/null
"$work/tree/bin/nnc" --version
