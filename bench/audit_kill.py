#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the whole daemon or of buckler-audit alone, again and again, in the middle of requests. The ledger is on the
client's side: every reply that said `durable` must be in the log, with its id at its index, after every cycle's recovery;
and every checkpoint that was seen must still hold.

    BUCKLER_BIN=build/release/bin bench/audit_kill.py [CYCLES [SEED]]
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/integration"))

from harness import BIN, Client, Daemon

CONFIG = 'schema: buckler.config/1\npolicies: { files: ["null.yaml"], default: "null" }\n'
FILES = {
    "null.yaml": 'schema: buckler.policy/1\nname: "null"\napplies: { modalities: [text] }\nclassifiers:\n'
    "  - { id: words, use: lists, files: [words.yaml] }\nrules:\n"
    "  - { id: hit, when: { category: profanity, min: 0.5 }, action: deny }\ndefault: allow\n",
    "words.yaml": "schema: buckler.list/1\nname: words\ncategory: profanity\nentries:\n  - frobnicate\n",
}
PER_CYCLE = 60
CHECK_EVERY = 25


def start(daemon: Daemon) -> None:
    """Helpers of the daemon before may need a moment to end; until then the new one refuses to start."""
    for _ in range(100):
        try:
            return daemon.start()
        except AssertionError as error:
            if not any("another" in line for line in str(error).splitlines()[-4:]):
                raise
    raise AssertionError("helpers of the daemon before do not end")


def cycle(daemon: Daemon, rng: random.Random, number: int, ledger: dict[int, str]) -> None:
    start(daemon)
    assert daemon.process is not None
    with Client(daemon.endpoint) as client:
        for i in range(PER_CYCLE):
            header = {
                "op": "classify",
                "id": f"{number}.{i}",
                "parts": [{"kind": "text"}],
                "deadline_ms": 60000,
            }
            client.send(header, f"sentence {i}".encode())
        for _ in range(rng.randrange(PER_CYCLE)):
            reply = client.receive(20000)
            assert reply is not None
            if reply["audit"]["durable"]:
                assert reply["audit"]["index"] not in ledger, "two replies name one record"
                ledger[reply["audit"]["index"]] = reply["id"]
        if rng.random() < 0.3:
            for pid in daemon.pids("buckler-audit"):
                os.kill(pid, signal.SIGKILL)
            while (reply := client.receive(300)) is not None:
                if reply["audit"]["durable"]:
                    ledger[reply["audit"]["index"]] = reply["id"]
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        daemon.process.stdout.close() if daemon.process.stdout else None
        while (reply := client.receive(0)) is not None:  # what was on its way
            if reply["audit"]["durable"]:
                ledger[reply["audit"]["index"]] = reply["id"]


def check(daemon: Daemon, kept: Path, ledger: dict[int, str]) -> None:
    start(daemon)
    assert daemon.stop() == 0
    daemon.process.stdout.close() if daemon.process and daemon.process.stdout else None
    log = daemon.state / "audit"
    key = (log / "vkey").read_text().strip()
    command = [BIN / "buckler-verify", log, "--key", key, *(["--kept", kept] if kept.exists() else [])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    kept.write_bytes((log / "checkpoint").read_bytes())
    shown = subprocess.check_output([BIN / "bucklerctl", "audit", "show", log], text=True)
    recorded = {r["index"]: r.get("request") for r in map(json.loads, shown.splitlines())}
    lost = {index: name for index, name in ledger.items() if recorded.get(index) != name}
    assert not lost, f"{len(lost)} acknowledged records are lost: {sorted(lost.items())[:3]}"


def main() -> None:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 1000000
    rng, ledger = random.Random(seed), dict[int, str]()
    daemon = Daemon(CONFIG, FILES)
    try:
        for number in range(cycles):
            cycle(daemon, rng, number, ledger)
            if number % CHECK_EVERY == CHECK_EVERY - 1 or number + 1 == cycles:
                check(daemon, daemon.state / "kept", ledger)
        print(f"{cycles} cycles, seed {seed}: {len(ledger)} acknowledged records, none lost")
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
