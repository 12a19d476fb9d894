# SPDX-License-Identifier: Apache-2.0
"""Starts a real bucklerd in a folder of its own and talks to it with plain ZeroMQ frames."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import zmq

SOURCE = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("BUCKLER_BIN", SOURCE / "build/release/bin"))
REPLY_TIMEOUT_MS = 60_000

# A list with one word, for policies that need no model.
WORDS = """\
schema: buckler.list/1
name: words
category: profanity
entries:
  - frobnicate
"""

Reply = dict[str, Any]


class Daemon:
    """A daemon with its state folder; the configuration is etc/dev.yaml unless `config` is given."""

    def __init__(self, config: str | None = None, files: dict[str, str] | None = None) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="buckler-test-"))
        self.config = SOURCE / "etc/dev.yaml"
        for name, text in (files or {}).items():
            (self.state / name).write_text(text)
        if config is not None:
            self.config = self.state / "buckler.yaml"
            self.config.write_text(config)
        self.endpoint = f"ipc://{self.state}/run/front.sock"
        self.log = open(self.state / "log", "w+b")
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []  # a command that runs the daemon

    def start(self) -> None:
        """Returns when the daemon said ready; raises with its messages when it ended instead."""
        command = [
            *self.prefix,
            str(BIN / "bucklerd"),
            "--config",
            str(self.config),
            "--state",
            str(self.state),
        ]
        self.process = subprocess.Popen(
            command + ["--log-level", "info"], stdout=subprocess.PIPE, stderr=self.log
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line != b"ready\n":
            raise AssertionError(f"exit {self.process.wait()}: {self.messages()}")

    def messages(self) -> str:
        self.log.flush()
        return (self.state / "log").read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.state, ignore_errors=True)

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pids(self, program: str) -> list[int]:
        """Live children of the core with this program name."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text()
                name = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
            except OSError:
                continue
            state, parent = stat.rsplit(")", 1)[1].split()[:2]
            if int(parent) == self.process.pid and state != "Z" and name.endswith(program):
                found.append(int(entry.name))
        return found

    def records(self) -> list[dict[str, Any]]:
        """All audit records, after the log was verified."""
        verify = [BIN / "bucklerctl", "audit", "verify", self.state / "audit"]
        verified = subprocess.run(verify, capture_output=True, text=True)
        assert verified.returncode == 0, f"exit {verified.returncode}: {verified.stderr}{self.messages()}"
        shown = subprocess.run(
            [BIN / "bucklerctl", "audit", "show", self.state / "audit"],
            check=True,
            capture_output=True,
            text=True,
        )
        return [json.loads(line) for line in shown.stdout.splitlines()]

    def verdict_records(self) -> list[dict[str, Any]]:
        return [r for r in self.records() if r["type"] == "verdict"]


class Client:
    """A DEALER that sends headers and parts as they are, well-formed or not."""

    def __init__(self, endpoint: str, curve: tuple[str, str] | None = None) -> None:
        """curve: the server's public key and the client's secret."""
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        if curve is not None:
            secret = curve[1].encode()
            self.socket.curve_serverkey = curve[0].encode()
            self.socket.curve_publickey = zmq.curve_public(secret)
            self.socket.curve_secretkey = secret
        self.socket.connect(endpoint)
        self.number = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.context.term()

    def send(self, header: bytes | dict[str, Any], *parts: bytes) -> None:
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        self.socket.send_multipart([raw, *parts])

    def receive(self, timeout_ms: int = REPLY_TIMEOUT_MS) -> Reply | None:
        """The next reply, or None when there was none in time."""
        if not self.socket.poll(timeout_ms):
            return None
        reply: Reply = json.loads(self.socket.recv_multipart()[0])
        assert reply["verdict"] in ("allow", "deny"), reply
        return reply

    def ask(self, header: bytes | dict[str, Any], *parts: bytes) -> Reply:
        self.send(header, *parts)
        reply = self.receive()
        assert reply is not None, "no reply"
        return reply

    def classify(self, *parts: tuple[str, bytes], **keys: Any) -> Reply:
        """parts: ("text", bytes) or ("image", bytes)."""
        self.number += 1
        header = {"op": "classify", "id": f"t{self.number}", "parts": [{"kind": k} for k, _ in parts], **keys}
        return self.ask(header, *(b for _, b in parts))

    def text(self, text: str, **keys: Any) -> Reply:
        return self.classify(("text", text.encode()), **keys)
