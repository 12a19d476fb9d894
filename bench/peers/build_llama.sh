#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds llama.cpp's own CPU benchmark, the peer that bench/peers/compare_prefill.sh measures against, from the
# pinned source package of llama-cpp-python.
#
#   build_llama.sh DIR [TARBALL]
#
# DIR receives everything; without TARBALL the package is fetched with pip. Prints the path of llama-bench.
set -eu

version=0.3.36
dir=${1:?usage: build_llama.sh DIR [TARBALL]}
tarball=${2:+$(realpath "$2")}
mkdir -p "$dir"
cd "$dir"

if [ -z "$tarball" ]; then
    tarball=$PWD/llama_cpp_python-$version.tar.gz
    if [ ! -f "$tarball" ]; then
        "${PYTHON:-python3}" -m pip download --no-binary :all: --no-deps \
            "llama-cpp-python==$version" >&2
    fi
fi
if [ ! -d "llama_cpp_python-$version" ]; then
    tar xzf "$tarball"
fi

# GGML_NATIVE: the peer gets every instruction of this processor; everything that wants the network or a GPU is off,
# all else is its own default.
cmake -S "llama_cpp_python-$version/vendor/llama.cpp" -B build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DGGML_CUDA=OFF -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF >&2
nice -n 19 cmake --build build --target llama-bench -j "${JOBS:-1}" >&2
echo "$PWD/build/bin/llama-bench"
