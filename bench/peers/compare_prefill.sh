#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Prefill speed of our engine and of llama.cpp on the same file, the same machine and in the same minutes: the
# two take turns, so that a busy neighbour slows both. Prints tab-separated medians, spreads and ratios.
#
#   compare_prefill.sh BUCKLERCTL LLAMA_BENCH MODEL [THREADS [ROUNDS]]
#
# LLAMA_BENCH is what build_llama.sh printed.
set -eu

ours=${1:?usage: compare_prefill.sh BUCKLERCTL LLAMA_BENCH MODEL [THREADS [ROUNDS]]}
peer=${2:?usage: compare_prefill.sh BUCKLERCTL LLAMA_BENCH MODEL [THREADS [ROUNDS]]}
model=${3:?usage: compare_prefill.sh BUCKLERCTL LLAMA_BENCH MODEL [THREADS [ROUNDS]]}
threads=${4:-1}
rounds=${5:-3}

# Neither side is to run on a library tuned for another processor.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

round=1
while [ "$round" -le "$rounds" ]; do
    echo "round $round of $rounds" >&2
    "$ours" bench engine --model "$model" --threads "$threads" --json >"$dir/ours.$round"
    "$peer" -m "$model" -t "$threads" -p 128,512,2048 -n 0 -r 2 -o json >"$dir/peer.$round" 2>"$dir/peer.err" ||
        { cat "$dir/peer.err" >&2; exit 1; }
    round=$((round + 1))
done

python3 - "$dir" "$rounds" "$threads" <<'PY'
import json
import statistics
import sys

directory, rounds, threads = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ours, peer = {}, {}
for n in range(1, rounds + 1):
    with open(f"{directory}/ours.{n}", encoding="utf-8") as file:
        result = json.load(file)
    for length, speed in result["prefill_tok_s"].items():
        ours.setdefault(f"prefill {length}", []).append(speed)
    with open(f"{directory}/peer.{n}", encoding="utf-8") as file:
        for test in json.load(file):
            peer.setdefault(f"prefill {test['n_prompt']}", []).append(test["avg_ts"])

print("test\tthreads\tours tok/s\tmin\tmax\tllama.cpp tok/s\tmin\tmax\tratio")
for name in ours:
    if name in peer:
        a, b = ours[name], peer[name]
        ratio = statistics.median(a) / statistics.median(b)
        numbers = [statistics.median(a), min(a), max(a), statistics.median(b), min(b), max(b)]
        print(name, threads, *(f"{x:.1f}" for x in numbers), f"{ratio:.2f}", sep="\t")
PY
