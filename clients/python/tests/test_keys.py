# SPDX-License-Identifier: Apache-2.0
"""CURVE keys of both clients, from their arguments and from the environment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

import buckler


class CurveServer:
    """Speaks CURVE, takes every key, and answers one request."""

    def __init__(self) -> None:
        public, secret = zmq.curve_keypair()
        self.key = public.decode()
        self.context: zmq.Context[Any] = zmq.Context()
        router = self.context.socket(zmq.ROUTER)
        router.curve_server = True
        router.curve_secretkey = secret
        router.linger = 0
        self.endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        self.thread = threading.Thread(target=self.serve, args=(router,), daemon=True)
        self.thread.start()

    def serve(self, router: zmq.Socket[Any]) -> None:
        route, header = router.recv_multipart()
        request_id = header.split(b'"id":')[1].split(b'"')[1]
        reply = b'{"id":"' + request_id + b'","status":200,"verdict":"deny","moderated":false}'
        router.send_multipart([route, reply])
        router.close(1000)


@pytest.fixture
def curve() -> Iterator[CurveServer]:
    server = CurveServer()
    yield server
    server.context.destroy(0)


@pytest.fixture
def secret() -> str:
    return zmq.curve_keypair()[1].decode()


def test_keys_of_the_arguments(curve: CurveServer, secret: str) -> None:
    with buckler.Client(curve.endpoint, server_key=curve.key, secret_key=secret) as client:
        assert client.ping().status == 200


def test_keys_of_the_environment(
    curve: CurveServer, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.key").write_text(secret + "\n")
    monkeypatch.setenv("BUCKLER_SERVER_KEY", curve.key)
    monkeypatch.setenv("BUCKLER_SECRET_KEY_FILE", str(tmp_path / "shop.key"))

    async def ping() -> int:
        async with buckler.AsyncClient(curve.endpoint) as client:
            return (await client.ping()).status

    assert asyncio.run(ping()) == 200
    buckler.Client("ipc:///tmp/nobody").close()  # the keys are not for ipc


@pytest.mark.parametrize("keys", [{"server_key": "x" * 40}, {"secret_key": "x" * 40}])
def test_a_key_alone_is_refused(keys: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="together"):
        buckler.Client("tcp://127.0.0.1:1", **keys)


def test_keys_of_another_length_are_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="40 characters"):
        buckler.Client("tcp://127.0.0.1:1", server_key="short", secret_key=secret)
