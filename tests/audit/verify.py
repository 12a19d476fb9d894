# SPDX-License-Identifier: Apache-2.0
"""A second verifier of the compliance log, written from buckler-audit(5) alone: standard library, none of our code.

verify.py DIR VKEY [KEPT]        exit codes of buckler-verify(1)
"""

from __future__ import annotations

import base64
import fcntl
import functools
import hashlib
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

TAMPERED, TORN, GAP, UNREADABLE = 1, 2, 3, 4


class Bad(Exception):
    """What is wrong, and the index of the first bad record."""

    def __init__(self, code: int, index: int, why: str) -> None:
        super().__init__(f"record {index}: {why}")
        self.code, self.index = code, index


def tampered(index: int, why: str) -> NoReturn:
    raise Bad(TAMPERED, index, why)


# ---- Ed25519 (RFC 8032), only to verify ----

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int, int, int]


def point_add(a: Point, b: Point) -> Point:
    x = (a[1] - a[0]) * (b[1] - b[0]) % P
    y = (a[1] + a[0]) * (b[1] + b[0]) % P
    t = 2 * a[3] * b[3] * D % P
    z = 2 * a[2] * b[2] % P
    e, f, g, h = y - x, z - t, z + t, y + x
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_multiply(k: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while k > 0:
        if k & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        k >>= 1
    return result


def point_decode(data: bytes) -> Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P != 0 or (x == 0 and sign == 1):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def point_encode(point: Point) -> bytes:
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.lru_cache(maxsize=4096)
def signed(public: bytes, text: bytes, signature: bytes) -> bool:
    key = point_decode(public)
    s = int.from_bytes(signature[32:], "little")
    if key is None or s >= L or BASE is None:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % L
    minus = (P - key[0], key[1], key[2], P - key[3])
    return point_encode(point_add(point_multiply(s, BASE), point_multiply(k, minus))) == signature[:32]


# ---- signed notes ----


def decode64(text: bytes) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if base64.b64encode(raw) == text else None


class Key:
    def __init__(self, vkey: str) -> None:
        found = re.fullmatch(r"([^+\s]+)\+([0-9a-f]{8})\+(.*)", vkey)
        raw = decode64(found[3].encode()) if found else None
        if found is None or raw is None or len(raw) != 33 or raw[0] != 1:
            raise Bad(UNREADABLE, 0, "not a verifier key")
        self.name, self.public = found[1].encode(), raw[1:]
        self.id = hashlib.sha256(self.name + b"\n" + raw).digest()[:4]
        if self.id.hex() != found[2]:
            raise Bad(UNREADABLE, 0, "not the id of the verifier key")


SPACES = "\x7f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def read_note(note: bytes, key: Key) -> tuple[int, bytes] | None:
    """Size and root of a checkpoint that the key signed."""
    try:
        letters = note.decode()
    except UnicodeDecodeError:
        return None
    if any(c < " " and c != "\n" for c in letters):
        return None
    text, empty, signatures = note.rpartition(b"\n\n")
    lines = signatures.split(b"\n")
    if not empty or lines.pop() != b"" or not 1 <= len(lines) <= 64:
        return None
    text += b"\n"
    found = False
    for line in lines:
        parts = line.split(b" ")
        if len(parts) != 3 or parts[0] != "—".encode():
            return None
        name, raw = parts[1], decode64(parts[2])
        if raw is None or len(raw) < 5 or not name or b"+" in name or any(c in SPACES for c in name.decode()):
            return None
        if name == key.name and raw[:4] == key.id:
            if len(raw) != 68 or not signed(key.public, text, raw[4:]):
                return None
            found = True
    parts = text.split(b"\n")
    if (
        not found
        or len(parts) != 4
        or parts[0] != key.name
        or not re.fullmatch(rb"[1-9][0-9]{0,18}", parts[1])
    ):
        return None
    root, size = decode64(parts[2]), int(parts[1])
    return (size, root) if root is not None and len(root) == 32 and size < 1 << 63 else None


# ---- frames ----


def make_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = make_table()


@functools.lru_cache(maxsize=1 << 16)
def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Frame:
    def __init__(self, data: bytes, at: int) -> None:
        """ValueError where there is none."""
        if at + 32 > len(data):
            raise ValueError("cut off")
        length, crc, self.index, self.batch, _time = struct.unpack_from("<IIQQQ", data, at)
        self.end = at + (32 + length + 7) // 8 * 8
        if not 1 <= length <= 65535 or self.end > len(data):
            raise ValueError("an impossible length")
        self.record = data[at + 32 : at + 32 + length]
        if crc32c(data[at + 8 : at + 32 + length]) != crc:
            raise ValueError("a wrong checksum")
        if any(data[at + 32 + length : self.end]) or self.batch > self.index:
            raise ValueError("padding or batch")


def is_damage(data: bytes, at: int, missing: int) -> bool:
    while at + 32 <= len(data):
        try:
            frame = Frame(data, at)
        except ValueError:
            at += 8
            continue
        if frame.batch > missing:
            return True
        at = frame.end
    return False


# ---- the tree ----


@functools.lru_cache(maxsize=1 << 16)
def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def leaf(record: bytes) -> bytes:
    return hashlib.sha256(b"\0" + record).digest()


class Range:
    """Roots of the full subtrees that a tree consists of, largest first."""

    def __init__(self) -> None:
        self.size, self.roots = 0, list[bytes]()

    def append(self, hash_: bytes) -> None:
        bits = self.size
        while bits & 1:
            hash_ = node(self.roots.pop(), hash_)
            bits >>= 1
        self.roots.append(hash_)
        self.size += 1

    def root(self) -> bytes:
        if not self.roots:
            return hashlib.sha256(b"").digest()
        hash_ = self.roots[-1]
        for left in self.roots[-2::-1]:
            hash_ = node(left, hash_)
        return hash_


def tile_name(level: int | str, number: int, width: int) -> str:
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    return f"tile/{level}/{'/'.join(groups)}" + (f".p/{width}" if width < 256 else "")


class Verifier:
    def __init__(self, directory: Path, key: Key, kept: bytes | None) -> None:
        self.directory, self.key = directory, key
        self.kept_note: bytes | None = kept
        self.kept: tuple[int, bytes] | None = None
        self.tree, self.good, self.torn = Range(), 0, False
        self.tiles: dict[int, list[bytes]] = {}
        self.own: dict[int, list[bytes]] = {}
        self.entries: list[bytes] = []
        self.checkpoints: list[tuple[int, bytes]] = []
        self.read: set[str] = set()  # files that mattered

    def bytes_of(self, name: str) -> bytes | None:
        try:
            data = (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None
        self.read.add(name)
        return data

    def writer_lives(self) -> bool:
        try:
            with open(self.directory / "LOCK", "rb") as file:
                ask = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)
                kind: int = struct.unpack("hhqqi4x", fcntl.fcntl(file, 36, ask))[0]  # F_OFD_GETLK
                return kind != fcntl.F_UNLCK
        except FileNotFoundError:
            return False

    # ---- step 1 ----

    def check_checkpoints(self) -> None:
        published = self.bytes_of("checkpoint")
        history = self.bytes_of("checkpoints")
        if published is None or history is None:
            tampered(0, "there is no checkpoint")
        at, size, match = 0, 0, 0
        while at < len(history):
            window = history[at : at + 16384]
            middle = window.find(b"\n\n")
            end = window.find(b"\n\n", middle + 2) if middle >= 0 else -1
            if end < 0:
                self.torn = not self.alive
                break
            note = window[: end + 1]
            found = read_note(note, self.key)
            if found is None or found[0] <= size:
                tampered(size, f"checkpoints byte {at}: not a checkpoint of this log, or not a larger one")
            size = found[0]
            self.checkpoints.append(found)
            match = len(self.checkpoints) if note == published else match
            at += end + 2
        if match == 0 or (len(self.checkpoints) - match > 1 and not self.alive):
            tampered(size, "checkpoint is not the end of checkpoints")
        self.n = size
        if self.kept_note is not None:
            self.kept = read_note(self.kept_note, self.key)
            if self.kept is None:
                raise Bad(UNREADABLE, 0, "the checkpoint that was kept is not one of this log")
        if self.kept is not None and self.kept[0] > self.n:
            raise Bad(GAP, self.n, "the checkpoint that was kept covers more records")

    # ---- step 2 ----

    def check_header(self, name: str, data: bytes, number: int) -> None:
        i = self.tree.size
        first = int(name[6:-4])
        if first != i:
            raise Bad(GAP if first > i else TAMPERED, i, f"{name} does not begin where the one before ends")
        head = data[:4096]
        if len(head) < 4096 or head[:8] != b"BKLRAUDT" or struct.unpack_from("<II", head, 8) != (1, 4096):
            tampered(i, f"{name} has no header")
        (count,) = struct.unpack_from("<I", head, 72)
        (length,) = struct.unpack_from("<H", head, 144)
        if (
            crc32c(head[:4092]) != struct.unpack_from("<I", head, 4092)[0]
            or count > 16
            or not 1 <= length <= 255
        ):
            tampered(i, f"{name} has a wrong header")
        ids = [head[76 + 4 * k : 80 + 4 * k] for k in range(16)]
        if (
            not all(any(k) for k in ids[:count])
            or any(b"".join(ids[count:]))
            or any(head[140:144])
            or any(head[146 + length : 4092])
        ):
            tampered(i, f"{name} has bytes in its header where there are none")
        if struct.unpack_from("<QQ", head, 16) != (number, i) or head[146 : 146 + length] != self.key.name:
            tampered(i, f"{name} is another segment, or of another log")
        if self.key.id not in ids[:count] or head[40:72] != self.tree.root():
            tampered(i, f"{name} has another key or another root")

    # ---- step 3 ----

    def tile(self, level: int | str, number: int, index: int) -> bytes:
        hashes = self.n >> 8 * (level if isinstance(level, int) else 0)
        width = min(256, hashes - 256 * number)
        data = self.bytes_of(tile_name(level, number, width))
        self.width = width
        if data is None:
            self.width = 256
            data = self.bytes_of(tile_name(level, number, 256))
        if data is None:
            tampered(index, f"{tile_name(level, number, width)} is missing")
        return data

    def check_entry(self, record: bytes, i: int) -> None:
        if i % 256 == 0:
            data, at = self.tile("entries", i // 256, i), 0
            self.entries = []
            while at + 2 <= len(data):
                (length,) = struct.unpack_from(">H", data, at)
                self.entries.append(data[at + 2 : at + 2 + length])
                at += 2 + length
            if at != len(data) or len(self.entries) != self.width:
                tampered(i, "the entry bundle has another length")
        if self.entries[i % 256] != record:
            tampered(i, "the entry is not the record")

    def check_tiles(self, hash_: bytes, i: int) -> None:
        for level in range(8):
            item = i >> 8 * level
            first = item << 8 * level
            if item % 256 == 0:
                data = self.tile(level, item // 256, first)
                if len(data) != 32 * self.width:
                    tampered(first, "the tile has another length")
                self.tiles[level] = [data[k : k + 32] for k in range(0, len(data), 32)]
                self.own[level] = []
            if self.tiles[level][item % 256] != hash_:
                tampered(first, f"hash {item} of level {level} is not that of the records")
            self.own[level].append(hash_)
            if len(self.own[level]) < 256:
                return
            row = self.own[level]
            while len(row) > 1:
                row = [node(row[k], row[k + 1]) for k in range(0, len(row), 2)]
            hash_ = row[0]

    def check_root(self) -> None:
        if self.checkpoints and self.checkpoints[0][0] == self.tree.size:
            size, root = self.checkpoints.pop(0)
            if root != self.tree.root():
                tampered(self.good, f"the records up to {size} are not those that were signed")
            self.good = size
        if self.kept is not None and self.kept[0] == self.tree.size and self.kept[1] != self.tree.root():
            tampered(0, "the checkpoint that was kept is another log's, or of a fork")

    def frames(self, name: str, data: bytes, last: bool) -> Iterator[Frame]:
        at = 4096
        while True:
            i = self.tree.size
            if not any(data[at : at + 4]) and not any(data[at:]):
                return
            frame, why = None, ""
            try:
                frame = Frame(data, at)
            except ValueError as error:
                why = str(error)
            if frame is not None and frame.index == i:
                yield frame
                at = frame.end
                continue
            if last and i >= self.n and self.alive:
                return
            if last and i >= self.n and not is_damage(data, at, i):
                raise Bad(TORN, i, f"{name} byte {at}: the last batch is incomplete")
            if frame is not None and frame.index > i:
                raise Bad(GAP, i, f"{name} byte {at}: record {frame.index} stands there")
            tampered(i, f"{name} byte {at}: {why or 'another record'}")

    def check(self) -> None:
        self.alive = self.writer_lives()
        names = sorted(
            (p.name for p in self.directory.iterdir() if re.fullmatch(r"audit-\d{12,}\.seg", p.name)),
            key=lambda name: int(name[6:-4]),
        )
        if not names:
            raise Bad(UNREADABLE, 0, "there is no log")
        self.check_checkpoints()
        for number, name in enumerate(names):
            data = self.bytes_of(name) or b""
            self.check_header(name, data, number)
            batch, begin = -1, self.tree.size
            for frame in self.frames(name, data, number + 1 == len(names)):
                i = self.tree.size
                if frame.batch != i and (frame.batch != batch or i == begin):
                    tampered(i, "it names a batch that is not its own")
                batch = frame.batch
                hash_ = leaf(frame.record)
                if i < self.n:
                    self.check_entry(frame.record, i)
                    self.check_tiles(hash_, i)
                self.tree.append(hash_)
                self.check_root()
        if self.tree.size < self.n:
            raise Bad(GAP, self.tree.size, f"{self.n} records were signed")
        if self.torn:
            raise Bad(TORN, self.n, "the end of checkpoints is incomplete")


def verify(directory: Path, vkey: str, kept: bytes | None = None) -> Verifier:
    """Raises Bad."""
    verifier = Verifier(directory, Key(vkey), kept)
    verifier.check()
    return verifier


def main() -> int:
    try:
        kept = Path(sys.argv[3]).read_bytes() if len(sys.argv) > 3 else None
        verifier = verify(Path(sys.argv[1]), sys.argv[2], kept)
    except Bad as bad:
        print(bad)
        return bad.code
    print(
        f"sound: {verifier.tree.size} records, {verifier.n} of them signed, root {verifier.tree.root().hex()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
