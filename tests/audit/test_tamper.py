# SPDX-License-Identifier: Apache-2.0
"""Changes a sound log in every way that somebody might, thousands of times, and demands that buckler-verify and
the verifier written from the man page both find each change, with the same exit code and at the same record.

    test_tamper.py MAKE_LOG BUCKLER_VERIFY [COUNT [SEED]]
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import verify as second

Files = dict[str, bytes]


class Segment:
    def __init__(self, data: bytes) -> None:
        self.head, self.frames, at = data[:4096], list[bytes](), 4096
        while at < len(data):
            frame = second.Frame(data, at)
            self.frames.append(data[at : frame.end])
            at = frame.end

    def bytes(self) -> bytes:
        return self.head + b"".join(self.frames)


def build_frame(record: bytes, index: int, batch: int, moment: int = 1) -> bytes:
    body = struct.pack("<QQQ", index, batch, moment) + record
    data = struct.pack("<II", len(record), second.crc32c(body)) + body
    return data + bytes(-len(data) % 8)


def parts_of(frame: bytes) -> tuple[bytes, int, int, int]:
    length, _crc, index, batch, moment = struct.unpack_from("<IIQQQ", frame)
    return frame[32 : 32 + length], index, batch, moment


def flip(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


class Log:
    """A sound log in memory, and what can be done to it."""

    def __init__(self, directory: Path, vkey: str) -> None:
        checked = second.verify(directory, vkey)
        self.files: Files = {name: (directory / name).read_bytes() for name in sorted(checked.read)}
        self.n, self.size = checked.n, checked.tree.size
        self.segments = [name for name in self.files if name.endswith(".seg")]
        self.tiles = [name for name in self.files if name.startswith("tile/")]
        self.where = [
            (name, at) for name in self.segments for at in range(len(Segment(self.files[name]).frames))
        ]
        self.history = [e + b"\n" for e in self.files["checkpoints"].split(b"\n\n")]
        self.history = [a + b"\n" + b for a, b in zip(self.history[::2], self.history[1::2], strict=False)]

    def edit(self, index: int, change: Callable[[list[bytes], int], None]) -> Files:
        name, at = self.where[index]
        segment = Segment(self.files[name])
        change(segment.frames, at)
        return {name: segment.bytes()}

    def rewrite_tree(self, index: int, record: bytes, levels: int) -> Files:
        """The record, its bundle entry and the hashes above it, as far up as asked: all that needs no key."""
        _old, _index, batch, moment = parts_of(
            Segment(self.files[self.where[index][0]]).frames[self.where[index][1]]
        )

        def put(frames: list[bytes], at: int) -> None:
            frames[at] = build_frame(record, index, batch, moment)

        files = self.edit(index, put)
        if levels == 0:
            return files
        tile = index // 256
        width = min(256, self.n - 256 * tile)
        name = second.tile_name("entries", tile, width)
        data, entries, at = self.files[name], [], 0
        while at < len(data):
            (length,) = struct.unpack_from(">H", data, at)
            entries.append(data[at + 2 : at + 2 + length])
            at += 2 + length
        entries[index % 256] = record
        files[name] = b"".join(struct.pack(">H", len(e)) + e for e in entries)
        hash_, item = second.leaf(record), index
        for level in range(levels - 1):
            width = min(256, (self.n >> 8 * level) - 256 * (item // 256))
            if width <= 0:
                break
            name = second.tile_name(level, item // 256, width)
            row = [self.files[name][k : k + 32] for k in range(0, 32 * width, 32)]
            row[item % 256] = hash_
            files[name] = b"".join(row)
            if width < 256:
                break
            while len(row) > 1:
                row = [second.node(row[k], row[k + 1]) for k in range(0, len(row), 2)]
            hash_, item = row[0], item // 256
        return files


# Each takes the log and a source of chance and gives the files that it changes; None removes one.
Change = dict[str, bytes | None]


def flip_bit(log: Log, rng: random.Random) -> Change:
    name = rng.choice([*log.segments, rng.choice(log.tiles), "checkpoint", "checkpoints"])
    return {name: flip(rng, log.files[name])}


def flip_tile(log: Log, rng: random.Random) -> Change:
    name = rng.choice(log.tiles)
    return {name: flip(rng, log.files[name])}


def flip_note(log: Log, rng: random.Random) -> Change:
    name = rng.choice(["checkpoint", "checkpoints"])
    return {name: flip(rng, log.files[name])}


def flip_header(log: Log, rng: random.Random) -> Change:
    name = rng.choice(log.segments)
    used = 4096 if rng.random() < 0.2 else 200
    return {name: flip(rng, log.files[name][:used]) + log.files[name][used:]}


def drop(log: Log, rng: random.Random) -> Change:
    def change(frames: list[bytes], at: int) -> None:
        del frames[at]

    return dict(log.edit(rng.randrange(log.n), change))


def double(log: Log, rng: random.Random) -> Change:
    def change(frames: list[bytes], at: int) -> None:
        frames.insert(at, frames[at])

    return dict(log.edit(rng.randrange(log.size), change))


def swap(log: Log, rng: random.Random) -> Change:
    def change(frames: list[bytes], at: int) -> None:
        other = at + 1 if at + 1 < len(frames) and rng.random() < 0.5 else rng.randrange(len(frames))
        other = other if other != at else (at + 1) % len(frames)
        frames[at], frames[other] = frames[other], frames[at]

    return dict(log.edit(rng.randrange(log.n), change))


def renumber(log: Log, rng: random.Random) -> Change:
    """A record is dropped or doubled and all that follow in the segment get new numbers and checksums."""
    more = rng.random() < 0.5

    def change(frames: list[bytes], at: int) -> None:
        first = parts_of(frames[0])[1]
        if more:
            frames.insert(at, frames[at])
        else:
            del frames[at]
        for k, frame in enumerate(frames):
            record, _index, batch, moment = parts_of(frame)
            frames[k] = build_frame(record, first + k, min(batch, first + k) if k > 0 else first, moment)

    return dict(log.edit(rng.randrange(log.n), change))


def swap_payloads(log: Log, rng: random.Random) -> Change:
    def change(frames: list[bytes], at: int) -> None:
        other = (at + 1 + rng.randrange(len(frames) - 1)) % len(frames)
        a, b = parts_of(frames[at]), parts_of(frames[other])
        frames[at], frames[other] = build_frame(b[0], *a[1:]), build_frame(a[0], *b[1:])

    return dict(log.edit(rng.randrange(log.n), change))


def rewrite(log: Log, rng: random.Random) -> Change:
    index = rng.randrange(log.n)
    name, at = log.where[index]
    record = parts_of(Segment(log.files[name]).frames[at])[0]
    changed = flip(rng, record) if rng.random() < 0.5 else record[:-1] + b',"z":1}'
    return dict(log.rewrite_tree(index, changed, rng.randrange(5)))


def break_batch(log: Log, rng: random.Random) -> Change:
    def change(frames: list[bytes], at: int) -> None:
        record, index, batch, moment = parts_of(frames[at])
        wrong = [b for b in (0, batch - 1, batch + 1, index + 1) if b >= 0 and b not in (batch, index)]
        frames[at] = build_frame(record, index, rng.choice(wrong or [index + 1]), moment)

    return dict(log.edit(rng.randrange(log.n), change))


def truncate(log: Log, rng: random.Random) -> Change:
    name = rng.choice(log.segments)
    data = log.files[name]
    cut = rng.randrange(len(data)) if rng.random() < 0.7 else 4096
    if name == log.segments[-1]:  # what is not signed may be lost
        signed = log.where[log.n - 1][1] if log.where[log.n - 1][0] == name else 0
        cut = min(cut, len(Segment(data).head) + sum(map(len, Segment(data).frames[:signed])))
    return {name: data[:cut]}


def append_bytes(log: Log, rng: random.Random) -> Change:
    name = rng.choice(list(log.files))
    data = rng.randbytes(rng.randrange(1, 40))
    return {name: log.files[name] + (data if any(data) else b"x")}


def remove_file(log: Log, rng: random.Random) -> Change:
    return {rng.choice([*log.segments, *log.tiles, "checkpoint", "checkpoints"]): None}


def exchange_files(log: Log, rng: random.Random) -> Change:
    group = log.segments if rng.random() < 0.4 else log.tiles
    a, b = rng.sample(group, 2)
    return {a: log.files[b], b: log.files[a]} if log.files[a] != log.files[b] else {a: None}


def edit_hash(log: Log, rng: random.Random) -> Change:
    name = rng.choice([n for n in log.tiles if "entries" not in n])
    data, at = log.files[name], rng.randrange(len(log.files[name]) // 32) * 32
    return {name: data[:at] + rng.randbytes(32) + data[at + 32 :]}


def edit_header(log: Log, rng: random.Random) -> Change:
    """With a right checksum."""
    name = rng.choice(log.segments)
    head = bytearray(log.files[name][:4092])
    at = rng.choice([0, 8, 12, 16, 24, 40, 71, 72, 76, 80, 140, 144, 146, 150, 300, 4091])
    head[at] ^= 1 << rng.randrange(7)
    return {name: bytes(head) + struct.pack("<I", second.crc32c(bytes(head))) + log.files[name][4096:]}


def older_checkpoint(log: Log, rng: random.Random) -> Change:
    """What is signed goes back; sometimes all of it, which only a checkpoint that was kept can show."""
    at = rng.randrange(len(log.history) - 2)
    changed: Change = {"checkpoint": log.history[at]}
    if rng.random() < 0.5:
        changed["checkpoints"] = b"".join(e + b"\n" for e in log.history[: at + 1])
    return changed


def edit_history(log: Log, rng: random.Random) -> Change:
    entries = list(log.history)
    at = rng.randrange(len(entries) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        entries.insert(at, entries[at])
    elif kind == 1:
        entries[at], entries[at + 1] = entries[at + 1], entries[at]
    elif kind == 2:
        lines = entries[at].split(b"\n")
        lines[1] = str(int(lines[1]) + rng.choice([-1, 1])).encode()
        entries[at] = b"\n".join(lines)
    else:
        entries = entries[: at + 1]
    return {"checkpoints": b"".join(e + b"\n" for e in entries)}


CHANGES = [
    flip_bit,
    flip_tile,
    flip_note,
    flip_header,
    drop,
    double,
    swap,
    renumber,
    swap_payloads,
    rewrite,
    break_batch,
    truncate,
    append_bytes,
    remove_file,
    exchange_files,
    edit_hash,
    edit_header,
    older_checkpoint,
    edit_history,
]


class Bench:
    def __init__(self, verifier: str, vkey: str, folder: Path, kept: bytes) -> None:
        self.verifier, self.vkey, self.folder = verifier, vkey, folder
        self.kept = folder / "kept"
        self.kept.write_bytes(kept)

    def both(self, directory: Path, vkey: str | None = None) -> tuple[int, int | None]:
        """Code and index, on which both agree."""
        key = vkey or self.vkey
        command = [self.verifier, str(directory), "--key", key, "--kept", str(self.kept), "--json"]
        ours = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ours.returncode in range(5), ours.stderr
        bad = json.loads(ours.stdout).get("bad", {}).get("index")
        try:
            second.verify(directory, key, self.kept.read_bytes())
            theirs: tuple[int, int | None] = (0, None)
            why = "sound"
        except second.Bad as error:
            theirs, why = (error.code, error.index if error.code != second.UNREADABLE else None), str(error)
        agreed = (ours.returncode, None if ours.returncode == second.UNREADABLE else bad)
        assert agreed == theirs, f"{agreed} {ours.stderr} but {theirs} {why}"
        return theirs


def run(bench: Bench, log: Log, directory: Path, count: int, seed: int) -> dict[str, int]:
    seen: dict[str, int] = {}
    for number in range(count):
        rng = random.Random(f"{seed}.{number}")
        change = CHANGES[number % len(CHANGES)]
        changed = change(log, rng)
        if all(log.files.get(name) == data for name, data in changed.items()):
            continue
        for name, data in changed.items():
            path = directory / name
            path.unlink() if data is None else path.write_bytes(data)
        try:
            code, _index = bench.both(directory)
            assert code != 0, "not found"
        except AssertionError as error:
            raise AssertionError(
                f"{change.__name__}, seed {seed}.{number}, {list(changed)}: {error}"
            ) from error
        seen[change.__name__] = seen.get(change.__name__, 0) + 1
        for name in changed:
            (directory / name).write_bytes(log.files[name])
    return seen


def main() -> None:
    make_log, verifier = sys.argv[1], sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else time.time_ns() % 1000000
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        root = Path(folder)

        def make(name: str, *values: int) -> Path:
            subprocess.run([make_log, root / name, *map(str, values)], check=True)
            return root / name

        # A log that goes on in two ways from its first 300 records, and one by another key.
        directory = make("log", 1, 300, 0)
        vkey = (directory / "vkey").read_text().strip()
        shutil.copytree(directory, root / "fork")
        shutil.copy(root / "log.key", root / "fork.key")
        make("log", 1, 330, 9)
        fork, foreign = make("fork", 2, 330, 0), make("foreign", 1, 300, 0)
        bench = Bench(verifier, vkey, root, (directory / "checkpoint").read_bytes())
        log = Log(directory, vkey)
        assert len(log.segments) >= 3 and log.n < log.size and any(n.startswith("tile/1/") for n in log.tiles)

        assert bench.both(directory) == (0, None)
        assert bench.both(fork) == (1, 0)
        assert bench.both(foreign) == (1, 0)
        assert bench.both(directory, (foreign / "vkey").read_text().strip()) == (1, 0)
        # A history of the fork's checkpoints over the log's records.
        for name in ("checkpoint", "checkpoints"):
            (directory / name).write_bytes((fork / name).read_bytes())
        code, index = bench.both(directory)
        assert code == 1 and index is not None and index >= 300, (code, index)
        for name in ("checkpoint", "checkpoints"):
            (directory / name).write_bytes(log.files[name])

        seen = run(bench, log, directory, count, seed)
        print(f"seed {seed}: {sum(seen.values())} changes found by both, at the same records: {seen}")


if __name__ == "__main__":
    main()
