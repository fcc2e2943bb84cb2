#!/bin/sh
# nnc on 64-bit ARM, in BUILD-arm: compiled for it, with the code that it makes there (NEON), run by qemu. Programs are trained there and
# here and must leave the same bytes as weights; then random graphs, compiled against interpreted, on that processor. Debian's
# packages for ARM are unpacked into BUILD-arm/sysroot, not installed. ARM_GRAPHS=200 make arm draws more of them.
set -eu
. "$(dirname "$0")/common.sh"
build=$1
arm=$build-arm
tools="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static"
start=$(date +%s)
export NNC_SYSROOT=$arm/sysroot
export PKG_CONFIG_SYSROOT_DIR=$NNC_SYSROOT
export PKG_CONFIG_LIBDIR=$NNC_SYSROOT/usr/lib/aarch64-linux-gnu/pkgconfig:$NNC_SYSROOT/usr/share/pkgconfig

# unpack PACKAGE...: these and what they need, of Debian's packages for ARM.
unpack() {
    mkdir -p "$arm/apt/lists/partial" "$arm/apt/archives/partial"
    : >"$arm/apt/status"
    cat >"$arm/apt/conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Dir::State "$arm/apt";
Dir::State::status "$arm/apt/status";
Dir::Cache "$arm/apt";
Debug::NoLocking "true";
END
    APT_CONFIG=$arm/apt/conf apt-get update -qq
    APT_CONFIG=$arm/apt/conf apt-get install -y -qq --download-only "$@"
    mkdir -p "$NNC_SYSROOT.part"
    for package in "$arm"/apt/archives/*.deb; do
        dpkg-deb -x "$package" "$NNC_SYSROOT.part"
    done
    rm -rf "$arm/apt"
    mv "$NNC_SYSROOT.part" "$NNC_SYSROOT"
}

# run_there PROGRAM ARGUMENT...: a program of BUILD-arm.
run_there() {
    program=$1
    shift
    qemu-aarch64-static -L "$NNC_SYSROOT" "$arm/$program" "$@"
}

# same_weights FILE ARGUMENT...: trains here and there.
same_weights() {
    file=$1
    shift
    rm -rf "$work/here" "$work/there"
    if "$build/nnc" run "$file" --run-dir "$work/here" "$@" >"$work/said" 2>&1 &&
        run_there nnc run "$file" --run-dir "$work/there" "$@" >"$work/said" 2>&1 &&
        cmp "$work/here/weights.safetensors" "$work/there/weights.safetensors"; then
        echo "same weights: ${file#"$source"/} $*"
        passed=$((passed + 1))
    else
        echo "FAILED ${file#"$source"/} $*"
        tail -n 20 "$work/said"
        failed=$((failed + 1))
    fi
}

missing=""
for package in $tools; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "installing:$missing"
    $([ "$(id -u)" -eq 0 ] || echo sudo) apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
[ -d "$NNC_SYSROOT" ] || unpack llvm-19-dev libffi-dev zlib1g-dev libpng-dev libcriterion-dev libc6-dev libgcc-12-dev
make_build "$build" nnc
make_build "$arm" "nnc test_differential" --toolchain "$source/cmake/aarch64.cmake"
for name in simple binary dense dense_cancer iris; do
    same_weights "$source/examples/$name.nn"
done
for file in "$source"/tests/survive/*.nn; do
    same_weights "$file" --set train.steps=8
done
export NNC_FUZZ_COUNT="${ARM_GRAPHS:-60}"
if run_there test_differential >"$work/output" 2>&1; then
    passed=$((passed + 1))
else
    cat "$work/output"
    failed=$((failed + 1))
fi
tail -n 1 "$work/output"
finish "make arm, $(($(date +%s) - start)) s"
