# SPDX-License-Identifier: Apache-2.0
"""The checker printed in buckler-audit(5) against logs of the real buckler-audit: it accepts what was written, and refuses
every line that is changed, dropped, doubled or swapped. So the page is enough to verify a log without our code.

    test_page.py BUCKLER_AUDIT PAGE
"""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

MAGIC = 0x31734D42
CONFIGURE, READY, APPEND, DURABLE = 0x300, 0x301, 0x302, 0x303


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def send(core: socket.socket, kind: int, number: int, body: bytes) -> None:
    core.send(struct.pack("<IHHIIQ", MAGIC, kind, 0, len(body), 0, number) + body)


def receive(core: socket.socket, kind: int) -> bytes:
    packet = core.recv(70000)
    header = struct.unpack("<IHHIIQ", packet[:24])
    assert header[0] == MAGIC and header[1] == kind, (header, packet[24:])
    return packet[24:]


def write_log(program: str, log: Path, records: int) -> None:
    core, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with core:
        fd = theirs.fileno()
        process = subprocess.Popen(["sh", "-c", f'exec "$0" 3<&{fd}', program], pass_fds=[fd])
        theirs.close()
        send(core, CONFIGURE, 0, text(str(log)) + text("before_reply"))
        receive(core, READY)
        for number in range(records):
            record = {"type": "verdict", "scores": [{"ppm": number, "raw": "é\n\x01"}], "verdict": "allow"}
            line = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            send(core, APPEND, number, line.encode())
            receive(core, DURABLE)
    assert process.wait() == 0


def main() -> None:
    program, page = sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8")
    found = re.search(r"^\.nf\n(#!.*?)^\.fi$", page, re.DOTALL | re.MULTILINE)
    assert found, "the page has no checker"
    source = found[1].replace("\\(rs", "\\").replace("\\-", "-")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        script = Path(folder, "check.py")
        script.write_text(source, encoding="utf-8")

        def sound() -> bool:
            done = subprocess.run([sys.executable, script, log], capture_output=True, text=True, check=False)
            assert (
                done.returncode == 0 or "AssertionError" in done.stderr or "JSONDecodeError" in done.stderr
            ), done.stderr
            return done.returncode == 0

        write_log(program, log, 5)
        write_log(program, log, 2)
        assert sound()
        file = log / "audit-000000000000.jsonl"
        whole = file.read_bytes()
        lines = whole.splitlines(keepends=True)
        assert len(lines) == 8
        bad = 0
        for at in range(len(lines)):
            variants = [lines[:at] + lines[at + 1 :], lines[: at + 1] + lines[at:]]
            variants.append([*lines[:at], lines[at].replace(b'"type"', b'"typE"'), *lines[at + 1 :]])
            if at > 0:
                variants.append([*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]])
            for variant in variants:
                file.write_bytes(b"".join(variant))
                assert not sound(), (at, variants.index(variant))
                bad += 1
        file.write_bytes(whole)
        assert sound()
        print(f"{bad} changed logs refused")


if __name__ == "__main__":
    main()
