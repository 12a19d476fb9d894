#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building, testing and running need: the Debian packages of packaging/packages.txt that are missing, and
# the default models. May be run again at any time; does nothing when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "bootstrap: $*" >&2
    exit 1
}

missing_packages() {
    local wanted
    wanted=$(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' packaging/packages.txt)
    # shellcheck disable=SC2086 # names are single words
    comm -23 <(sort -u <<<"$wanted") \
        <(dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\n' $wanted 2>/dev/null |
            sed -n 's/^ii[^\t]*\t//p' | sort -u)
}

command -v dpkg-query >/dev/null || die "this is not Debian: install what packaging/packages.txt lists by hand, then run scripts/fetch-models.sh"
mapfile -t missing < <(missing_packages)

if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" -eq 0 ]; then
        as_root=()
    elif command -v sudo >/dev/null; then
        as_root=(sudo)
    else
        die "${#missing[@]} packages are missing and this user is neither root nor has sudo (as root: apt-get install ${missing[*]})"
    fi
    echo "bootstrap: installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q ||
        die "apt-get update failed: check the network and /etc/apt/sources.list"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" ||
        die "apt-get could not install ${missing[*]} (the reason is above)"
fi

exec scripts/fetch-models.sh
