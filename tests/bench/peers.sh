#!/bin/sh
# Installs what nnc is measured against, outside of the tree: Python environments in PEERS, which `make bench` looks into, and with "system" as
# an argument Debian's libraries for rows of single kernels. Nothing in the build or in `make test` needs any of it.
#
#   sh tests/bench/peers.sh                 torch and jax: about 6 GB
#   sh tests/bench/peers.sh torch           one of: torch jax tensorflow onnxruntime openvino
#   sudo sh tests/bench/peers.sh system
set -eu
peers=${PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/nnc-peers}
python=${PYTHON:-python3}

# environment NAME PACKAGE...
environment() {
    folder=$peers/$1
    shift
    [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
    echo "$folder: $*"
}

mkdir -p "$peers"
for name in ${*:-torch jax}; do
    case $name in
    torch) environment torch torch==2.15.0 numpy safetensors ;;
    jax) environment jax jax==0.10.2 optax==0.2.8 numpy safetensors ;;
    tensorflow) environment tensorflow tensorflow-cpu==2.21.0 numpy safetensors ;;
    onnxruntime) environment onnxruntime onnxruntime==1.32.0 onnx==1.23.2 numpy safetensors ;;
    openvino) environment openvino openvino==2026.4.1 onnx==1.23.2 numpy safetensors ;;
    system)
        apt-get update -qq
        apt-get install -y --no-install-recommends libopenblas0-pthread libblis4-pthread libdnnl2 libxsmm-dev
        ;;
    *)
        echo "peers.sh: $name is none of torch jax tensorflow onnxruntime openvino system" >&2
        exit 1
        ;;
    esac
done
