#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Quality of the default policy, or of the one named behind the folders, on the evaluation sets.
# Usage: bench/guard/eval_sets.sh SETS OUT [OPTION of bucklerctl eval …]
# SETS holds hatecheck, jailbreakbench_behaviors, simple_safety_tests and xstest as .jsonl or .jsonl.gz; OUT gets eval.json
# and eval.html. They are for measuring only: nothing is trained or tuned on them (training/tests/test_leaks.py).
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# Usage: //p' "$0" >&2; exit 64; }
sets=$1 out=$2
shift 2

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BUCKLER_BIN:-$root/build/release/bin}
plain=$(mktemp -d)
trap 'rm -rf "$plain"' EXIT

files=()
for name in hatecheck jailbreakbench_behaviors simple_safety_tests xstest; do
    if [ -e "$sets/$name.jsonl" ]; then
        files+=("$sets/$name.jsonl")
    else
        gzip -dc "$sets/$name.jsonl.gz" >"$plain/$name.jsonl"
        files+=("$plain/$name.jsonl")
    fi
done

# A server of one's own choice, or a private daemon of this tree.
case " $* " in
*" --server "* | *" --local "*) ;;
*) set -- --local --config "$root/etc/dev.yaml" "$@" ;;
esac
mkdir -p "$out"
"$bin/bucklerctl" eval "${files[@]}" "$@" --json "$out/eval.json" --html "$out/eval.html"
