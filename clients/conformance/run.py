# SPDX-License-Identifier: Apache-2.0
"""Plays the exchanges of vectors.json against a real daemon, with ZMTP written by hand.

    run.py ipc:///run/buckler/front.sock [vectors.json]

Needs nothing but Python: what it sends is what PROTOCOL.md says, not what a library makes of it.
Each exchange has a connection of its own. Exit status 0 when every reply is as expected.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from pathlib import Path
from typing import Any

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
MORE, LONG, COMMAND = 1, 2, 4
TIMEOUT_S = 30.0


def connect(endpoint: str) -> socket.socket:
    scheme, _, address = endpoint.partition("://")
    if scheme == "ipc":
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(TIMEOUT_S)
        stream.connect("\0" + address[1:] if address.startswith("@") else address)
        return stream
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S)


def take(stream: socket.socket, size: int) -> bytes:
    taken = b""
    while len(taken) < size:
        chunk = stream.recv(size - len(taken))
        if not chunk:
            raise ConnectionError("the daemon closed the connection")
        taken += chunk
    return taken


def put_frame(stream: socket.socket, flags: int, body: bytes) -> None:
    long = len(body) > 255
    size = struct.pack(">Q", len(body)) if long else bytes([len(body)])
    stream.sendall(bytes([flags | (LONG if long else 0)]) + size + body)


def take_frame(stream: socket.socket) -> tuple[int, bytes]:
    (flags,) = take(stream, 1)
    size = struct.unpack(">Q", take(stream, 8))[0] if flags & LONG else take(stream, 1)[0]
    return flags, take(stream, size)


def handshake(stream: socket.socket) -> None:
    stream.sendall(GREETING)
    theirs = take(stream, 64)
    if theirs[0] != 0xFF or theirs[10] < 3 or theirs[12:32].rstrip(b"\0") != b"NULL":
        raise ConnectionError("the daemon's greeting is not ZMTP 3 with the NULL mechanism")
    kind = b"DEALER"
    put_frame(stream, COMMAND, b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind)
    flags, body = take_frame(stream)
    if not flags & COMMAND or not body.startswith(b"\x05READY"):
        raise ConnectionError(f"the daemon refused the handshake: {body[:64]!r}")


def take_message(stream: socket.socket) -> list[bytes]:
    frames: list[bytes] = []
    while True:
        flags, body = take_frame(stream)
        if flags & COMMAND:
            if body.startswith(b"\x04PING"):
                put_frame(stream, COMMAND, b"\x04PONG" + body[7:])
            continue
        frames.append(body)
        if not flags & MORE:
            return frames


def frame(raw: dict[str, Any]) -> bytes:
    if "fill" in raw:
        return bytes.fromhex(raw["fill"]) * int(raw["size"])
    body = raw["text"].encode() if "text" in raw else bytes.fromhex(raw["hex"])
    return bytes(body.ljust(int(raw.get("pad_with_spaces_to", 0))))


def play(endpoint: str, exchange: dict[str, Any]) -> str | None:
    """What is wrong, or None."""
    frames = [frame(raw) for raw in exchange["frames"]]
    with connect(endpoint) as stream:
        handshake(stream)
        for index, body in enumerate(frames):
            put_frame(stream, MORE if index + 1 < len(frames) else 0, body)
        reply = json.loads(take_message(stream)[0])
    expect = exchange["expect"]
    for key, value in expect.items():
        if value is not None and reply.get(key) != value:
            return f"{key} is {reply.get(key)!r}, not {value!r}"
    if reply.get("verdict") not in ("allow", "deny"):
        return f"verdict is {reply.get('verdict')!r}"
    if expect["status"] != 200 and reply["verdict"] != "deny":
        return "a refusal allows"
    if expect["status"] != 200 and not reply.get("detail"):
        return "a refusal without a sentence"
    return None


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 64
    default = Path(__file__).with_name("vectors.json")
    path = Path(arguments[1]) if len(arguments) == 2 else default
    vectors = json.loads(path.read_text(encoding="utf-8"))
    bad = 0
    for exchange in vectors["exchanges"]:
        try:
            wrong = play(arguments[0], exchange)
        except (OSError, ValueError) as error:
            wrong = str(error)
        if wrong is not None:
            bad += 1
            print(f"{exchange['name']}: {wrong}")
    print(f"{len(vectors['exchanges']) - bad} of {len(vectors['exchanges'])} exchanges as expected")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
