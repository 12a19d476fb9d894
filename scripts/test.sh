#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test: installs what is missing, builds with gcc and clang, runs the units, goldens, real processes and fuzz seeds,
# then units and hostile input under ASan and UBSan, then each fuzz target for a few seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

# The same inputs on every run, so that a test run says something about the tree and not about chance; set
# BUCKLER_FUZZ_SEED=0 and more seconds to look for new ones.
fuzz_seconds=${BUCKLER_FUZZ_SECONDS:-10}
fuzz_seed=${BUCKLER_FUZZ_SEED:-1}
jobs=$(nproc)

under_asan='unit|fuzz|hostile' # labels of the tests that also run under the sanitizers

# count_tests PRESET [OPTION…]: how many tests ctest runs with these options.
count_tests() {
    ctest --test-dir "build/$1" -N "${@:2}" | sed -n 's/^Total Tests: //p'
}

step() { printf '\n== %s\n' "$*"; }

step "install"
scripts/bootstrap.sh

step "layers"
python3 cmake/check-layers.py

step "build and test: release (gcc)"
cmake --preset release >/dev/null
cmake --build --preset release -j "$jobs"
ctest --test-dir build/release --output-on-failure -j "$jobs"

step "build: clang"
cmake --preset clang >/dev/null
cmake --build --preset clang -j "$jobs"

step "units, seeds and real processes under ASan and UBSan"
cmake --preset asan >/dev/null
cmake --build --preset asan -j "$jobs"
ctest --test-dir build/asan --output-on-failure -j "$jobs" -L "$under_asan"

step "fuzz: $fuzz_seconds s each"
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz -j "$jobs" --target fuzz_targets
for target in build/fuzz/fuzz/fuzz_*; do
    name=$(basename "$target")
    corpus=$(mktemp -d)
    "$target" -seed="$fuzz_seed" -max_total_time="$fuzz_seconds" -rss_limit_mb=2048 -timeout=20 -verbosity=0 -artifact_prefix="$corpus/" \
        "$corpus" "fuzz/seeds/${name#fuzz_}"
    echo "$name: clean"
    rm -rf "$corpus"
done

step "all passed"
passed=$(($(count_tests release) + $(count_tests asan -L "$under_asan")))
echo "$passed passed, 0 failed"
