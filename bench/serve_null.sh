#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the path costs without a model: ZeroMQ in, decode worker, a word list, a durable audit record, ZeroMQ out. Open loop;
# latency counts from when a request should have been sent; RATE 0: one request after the other.
# Usage: bench/serve_null.sh [RATE] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

rate=${1:-500} seconds=${2:-10}
bin=${BUCKLER_BIN:-build/release/bin}
state=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon"; wait; rm -rf "$state"' EXIT

cat >"$state/null.yaml" <<'YAML'
schema: buckler.policy/1
name: "null"
applies: { modalities: [text] }
classifiers:
  - { id: words, use: lists, files: [words.yaml] }
rules:
  - { id: hit, when: { category: profanity, min: 0.5 }, action: deny }
default: allow
YAML
cat >"$state/words.yaml" <<'YAML'
schema: buckler.list/1
name: words
category: profanity
entries:
  - frobnicate
YAML
cat >"$state/buckler.yaml" <<'YAML'
schema: buckler.config/1
policies: { files: ["null.yaml"], default: "null" }
YAML

mkfifo "$state/started"
"$bin/bucklerd" --config "$state/buckler.yaml" --state "$state" >"$state/started" &
daemon=$!
read -r word <"$state/started"
[ "$word" = ready ]
echo "cpu: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores; ipc, 2 KiB of text, audit before_reply"
"$bin/bucklerctl" bench serve --server "ipc://$state/run/front.sock" --rate "$rate" --seconds "$seconds" --json
