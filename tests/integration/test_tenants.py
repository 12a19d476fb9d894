# SPDX-License-Identifier: Apache-2.0
"""Keys, tenants and their limits through the real processes. No model is needed, so that this also runs under
the sanitizers."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
import unittest
from pathlib import Path
from typing import Any

import zmq
from harness import BIN, WORDS, Client, Daemon

POLICY = """\
schema: buckler.policy/1
name: {name}
applies: {{ modalities: [text] }}
classifiers:
  - {{ id: words, use: lists, files: [words.yaml] }}
rules:
  - {{ id: hit, when: {{ category: profanity, min: 0.5 }}, action: deny }}
default: allow
deadline_ms: 20000
"""

CONFIG = """\
schema: buckler.config/1
policies: {{ files: [plain.yaml, other.yaml], default: plain }}
listen: {{ endpoints: ["ipc://{state}/run/front.sock", "tcp://127.0.0.1:{port}"], curve: server.key }}
tenants:
{tenants}"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ctl(*args: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([BIN / "bucklerctl", *args], capture_output=True, text=True, env=env)


class Site:
    """A daemon with CURVE whose tenants are written by `tenants`, and keys by name."""

    def __init__(self) -> None:
        files = {f"{n}.yaml": POLICY.format(name=n) for n in ("plain", "other")} | {"words.yaml": WORDS}
        self.daemon = Daemon("", files)
        self.port = free_port()
        self.tcp = f"tcp://127.0.0.1:{self.port}"
        self.server_key = self.generate("server")

    def generate(self, name: str) -> str:
        made = ctl("keys", "generate", "--dir", self.daemon.state, name)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def secret(self, name: str) -> Path:
        return self.daemon.state / f"{name}.key"

    def configure(self, tenants: str) -> None:
        self.daemon.config.write_text(CONFIG.format(state=self.daemon.state, port=self.port, tenants=tenants))

    def reload(self) -> None:
        assert self.daemon.process is not None
        loaded = self.daemon.messages().count("policies-loaded")
        self.daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.daemon.messages().count("policies-loaded") > loaded)

    def client(self, name: str) -> Client:
        return Client(self.tcp, (self.server_key, self.secret(name).read_text().strip()))

    def classify(self, name: str, text: str, *more: str) -> subprocess.CompletedProcess[str]:
        return ctl(
            *("classify", "--server", self.tcp, "--json", "--text", text, *more),
            BUCKLER_SERVER_KEY=self.server_key,
            BUCKLER_SECRET_KEY_FILE=str(self.secret(name)),
        )


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not happen in time")
        zmq.Poller().poll(20)


class Keys(unittest.TestCase):
    def setUp(self) -> None:
        self.site = Site()
        self.addCleanup(self.site.daemon.close)

    def test_a_secret_is_for_its_owner_and_never_printed(self) -> None:
        key = self.site.generate("shop")
        path = self.site.secret("shop")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual((self.site.daemon.state / "shop.pub").read_text().strip(), key)
        again = ctl("keys", "generate", "--dir", self.site.daemon.state, "shop")
        self.assertEqual((again.returncode, again.stdout), (65, ""))
        self.assertNotIn(path.read_text().strip(), key + again.stderr)

    def test_from_new_keys_to_revocation(self) -> None:
        site = self.site
        shop, forum = site.generate("shop"), site.generate("forum")
        site.generate("stranger")
        site.configure(f"  - {{ name: shop, keys: ['{shop}'] }}\n  - {{ name: forum, keys: ['{forum}'] }}\n")
        site.daemon.start()
        self.assertEqual(site.classify("shop", "hello").returncode, 0)
        self.assertEqual(site.classify("shop", "frobnicate").returncode, 10)
        self.assertEqual(site.classify("stranger", "hello").returncode, 69)
        with site.client("shop") as mine, site.client("forum") as other:
            self.assertEqual(mine.text("hello")["tenant"], "shop")
            self.assertEqual(other.text("hello")["tenant"], "forum")
            revoked = ctl("keys", "revoke", "--state", site.daemon.state, shop)
            self.assertEqual((revoked.returncode, revoked.stdout), (0, ""))
            listed = ctl("keys", "list", "--config", site.daemon.config, "--state", site.daemon.state)
            self.assertEqual(listed.stdout, f"{shop} shop revoked\n{forum} forum\n")
            site.reload()
            wait_for(lambda: "connections ended" in site.daemon.messages())
            mine.send({"op": "ping", "id": "late"})
            self.assertIsNone(mine.receive(300))
            self.assertEqual(other.text("hello")["verdict"], "allow")
        self.assertEqual(site.classify("shop", "hello").returncode, 69)
        self.assertEqual({r["tenant"] for r in site.daemon.verdict_records()}, {"shop", "forum"})
        self.assertNotIn(site.secret("server").read_text().strip(), site.daemon.messages())

    def test_refuses_to_start_with_a_secret_that_others_can_read(self) -> None:
        self.site.configure("  - { name: shop }\n")
        self.site.secret("server").chmod(0o640)
        with self.assertRaisesRegex(AssertionError, r"exit 78[\s\S]*chmod 600"):
            self.site.daemon.start()

    def test_refuses_to_revoke_what_is_no_key(self) -> None:
        self.assertEqual(ctl("keys", "revoke", "--state", self.site.daemon.state, "shop").returncode, 64)

    def test_revokes_a_key_that_looks_like_an_option(self) -> None:
        key = "-s" + "k" * 38
        (self.site.daemon.state / "keys").mkdir(exist_ok=True)
        self.assertEqual(ctl("keys", "revoke", "--state", self.site.daemon.state, key).returncode, 0)
        self.assertEqual(ctl("keys", "revoke", "--state", self.site.daemon.state, key, key).returncode, 64)
        self.assertIn(f"\n{key}\n", (self.site.daemon.state / "keys/revoked").read_text())


class Tenants(unittest.TestCase):
    def start(self, tenant: str) -> Daemon:
        """One tenant for everything this user sends."""
        files = {f"{n}.yaml": POLICY.format(name=n) for n in ("plain", "other")} | {"words.yaml": WORDS}
        config = (
            "schema: buckler.config/1\n"
            "policies: { files: [plain.yaml, other.yaml], default: plain }\n"
            f"tenants: [{{ name: shop, uids: [{os.getuid()}], {tenant} }}]\n"
        )
        daemon = Daemon(config, files)
        self.addCleanup(daemon.close)
        return daemon

    def test_a_policy_of_others_is_forbidden_whether_it_exists_or_not(self) -> None:
        with self.start("policies: [other]") as daemon, Client(daemon.endpoint) as client:
            own = client.text("hello")
            self.assertEqual((own["tenant"], own["policy"].split("@")[0]), ("shop", "other"))
            for name in ("plain", "nowhere"):
                reply = client.text("hello", policy=name)
                self.assertEqual((reply["status"], reply["code"]), (403, "policy_forbidden"))
                self.assertEqual((reply["verdict"], reply["tenant"]), ("deny", "shop"))
            hello = client.ask({"op": "hello", "id": "h"})
            self.assertEqual([(p["name"], p["default"]) for p in hello["policies"]], [("other", True)])
            self.assertEqual([r["tenant"] for r in daemon.verdict_records()], ["shop"] * 3)

    def test_a_policy_that_no_file_has_is_an_error_of_the_configuration(self) -> None:
        with self.assertRaisesRegex(AssertionError, r"exit 78[\s\S]*:3:\d+: tenant shop: no loaded policy"):
            self.start("policies: [nowhere]").start()

    def test_the_rate_answers_429_and_says_when_to_come_again(self) -> None:
        with self.start("rate: 5") as daemon, Client(daemon.endpoint) as client:
            replies = [client.text("hello") for _ in range(20)]
            refused = [r for r in replies if r["status"] == 429]
            self.assertTrue(refused)
            for reply in refused:
                self.assertEqual((reply["code"], reply["verdict"]), ("rate", "deny"))
                self.assertTrue(1 <= reply["retry_after_ms"] <= 201, reply)
            self.assertTrue(all(r["status"] in (200, 429) for r in replies))

    def test_the_window_counts_over_all_connections(self) -> None:
        with self.start("window: 2") as daemon:
            clients = [Client(daemon.endpoint) for _ in range(3)]
            self.assertEqual(clients[0].ask({"op": "hello", "id": "h"})["limits"]["window"], 2)
            os.kill(daemon.pids("buckler-audit")[0], signal.SIGSTOP)  # nothing is answered meanwhile
            for client in clients:
                client.send({"op": "classify", "id": "w", "parts": [{"kind": "text"}]}, b"hello")
            for client in clients:  # behind what each has sent: all three have arrived
                self.assertEqual(client.ask({"op": "ping", "id": "p"})["status"], 200)
            os.kill(daemon.pids("buckler-audit")[0], signal.SIGCONT)
            codes = sorted(str(c.receive()["code"]) for c in clients)  # type: ignore[index]
            for client in clients:
                client.__exit__()
        self.assertEqual(codes, ["ok", "ok", "window"])


class Exhaustion(unittest.TestCase):
    """Strangers may take what they can get; whoever is connected goes on."""

    def test_strangers_do_not_get_the_last_descriptors(self) -> None:
        policy = {"plain.yaml": POLICY.format(name="plain"), "words.yaml": WORDS}
        config = "schema: buckler.config/1\npolicies: { files: [plain.yaml], default: plain }\n"
        daemon = Daemon(config, policy)
        self.addCleanup(daemon.close)
        daemon.prefix = ["prlimit", "--nofile=300:300"]
        daemon.start()
        front = daemon.pids("buckler-front")[0]
        with Client(daemon.endpoint) as client:
            self.assertEqual(client.text("hello")["verdict"], "allow")
            held: list[socket.socket] = []
            self.addCleanup(lambda: [raw.close() for raw in held])
            for _ in range(600):
                raw = socket.socket(socket.AF_UNIX)
                raw.connect(daemon.endpoint.removeprefix("ipc://"))
                held.append(raw)
                if len(held) % 20 == 0:  # the front needs a moment to see them
                    self.assertEqual(client.text("hello")["verdict"], "allow")
            self.assertEqual(client.text("hello")["verdict"], "allow")
        self.assertEqual(daemon.pids("buckler-front"), [front])


if __name__ == "__main__":
    unittest.main()
