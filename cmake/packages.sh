#!/bin/sh
# Installs the Debian packages that building and testing nnc needs, naming those it installs. Nothing else is fetched.
set -eu
packages="gcc libc6-dev cmake ninja-build pkg-config flex bison llvm-19-dev libffi-dev zlib1g-dev libpng-dev libcriterion-dev"

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1; then
    sudo="sudo"
else
    echo "nnc needs these Debian packages:$missing" >&2
    echo "install them as root: apt-get install$missing" >&2
    exit 1
fi
echo "nnc installs Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
