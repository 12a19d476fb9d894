#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the #include lines and fails on any arrow that the table of ARCHITECTURE.md does not have."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# module → modules whose headers it may include (its own always)
ARROWS: dict[str, set[str]] = {
    "base": set(),
    "config": {"base"},
    "ipc": {"base"},
    "audit": {"base"},
    "decode": {"base"},
    "engine": {"base"},
    "policies": {"base", "config"},
    "classifiers": {"base", "policies", "config", "engine", "decode"},
    "daemon": {"base", "config", "policies", "classifiers", "engine", "audit", "ipc", "decode"},
    "tools": {"base", "config", "policies", "engine", "audit", "decode", "clients"},
    "clients": {"base"},
}

# Above layer 1 a module sees another one only through these headers.
DOORS: set[str] = {
    "config/config.h",
    "policies/policy.h",
    "policies/list.h",
    "engine/engine.h",
    "classifiers/classifier.h",
    "audit/audit.h",
    "ipc/ipc.h",
    "decode/decode.h",
    "decode/canonical.h",
    "clients/c/buckler.h",
}

# Inside engine/: formats, tokenizer and kernels are leaves.
ENGINE: dict[str, set[str]] = {
    "formats": {"kernels"},
    "tokenizer": {"formats"},
    "kernels": set(),
    "graph": {"kernels", "formats", "models", "tokenizer", "vision"},
    "models": {"kernels", "formats", "graph"},
    "vision": {"kernels", "formats", "graph"},
}

# A foreign library is included by these files and no others.
FOREIGN: dict[str, tuple[str, ...]] = {
    "zmq.h": ("ipc/front/", "clients/c/"),
    "yaml.h": ("config/",),
    "cblas.h": ("engine/kernels/blas.c",),
    "openssl/": ("base/digest.c", "audit/"),
    "seccomp.h": ("base/sandbox.c",),
    "hs/hs.h": ("classifiers/lists/",),
    "hs.h": ("classifiers/lists/",),
    "jpeglib.h": ("decode/worker/",),
    "spng.h": ("decode/worker/",),
    "webp/": ("decode/worker/",),
    "gif_lib.h": ("decode/worker/",),
    "unicode/": ("decode/worker/",),
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def check_own(path: str, target: str) -> str | None:
    """Why `path` must not include our header `target`, or None."""
    source, sink = path.split("/")[0], target.split("/")[0]
    if source not in ARROWS or sink not in ARROWS:
        return None
    if source != sink:
        if sink not in ARROWS[source]:
            return f"{source} may not include {sink}"
        if sink != "base" and target not in DOORS:
            return f"{target} is private to {sink}"
    elif source == "engine" and path.count("/") > 1 and target.count("/") > 1:
        here, there = path.split("/")[1], target.split("/")[1]
        if here != there and there not in ENGINE.get(here, set()):
            return f"engine/{here} may not include engine/{there}"
    return None


def check_foreign(path: str, target: str) -> str | None:
    """Why `path` must not include the foreign header `target`, or None."""
    for header, allowed in FOREIGN.items():
        if (target == header or (header.endswith("/") and target.startswith(header))) and not path.startswith(
            allowed
        ):
            return f"<{target}> belongs to {', '.join(allowed)}"
    return None


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    files = subprocess.run(
        ["git", "ls-files", "*.c", "*.h"], cwd=root, check=True, capture_output=True, text=True
    )
    bad = 0
    for path in files.stdout.splitlines():
        if path.startswith(("tests/", "fuzz/", "bench/")) or not (root / path).exists():
            continue
        for number, line in enumerate((root / path).read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if found is None:
                continue
            check = check_own if found[1] == '"' else check_foreign
            reason = check(path, found[2])
            if reason is not None:
                print(f"{path}:{number}: {reason}")
                bad += 1
    print(f"{len(files.stdout.splitlines())} files, {bad} forbidden includes")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
