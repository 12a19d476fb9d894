# SPDX-License-Identifier: Apache-2.0
"""What both clients share: the socket's options and what its monitor tells."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import zmq

from ._errors import RefusedError

DEFAULT_SERVER = "ipc:///run/buckler/front.sock"
MOST_ATTEMPTS = 3
FIRST_PAUSE_S = 0.25
LAST_PAUSE_S = 4.0
KEY_CHARACTERS = 40

EVENTS = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH


def server_url(server: str | None) -> str:
    return server or os.environ.get("BUCKLER_SERVER") or DEFAULT_SERVER


Keys = tuple[bytes, bytes, bytes]


def find_keys(server: str, server_key: str | None, secret_key: str | None) -> Keys | None:
    """The server's key, the client's own public key and its secret, or None for no CURVE.

    Those of the environment are for tcp alone: one program may have both kinds of servers. The
    secret is in a file, because every child sees what is in the environment."""
    if server_key is None and secret_key is None:
        server_key = os.environ.get("BUCKLER_SERVER_KEY") or None
        if server_key is None or not server.startswith("tcp://"):
            return None
        path = os.environ.get("BUCKLER_SECRET_KEY_FILE")
        if not path:
            raise ValueError("BUCKLER_SERVER_KEY needs BUCKLER_SECRET_KEY_FILE beside it")
        secret_key = Path(path).read_text(encoding="ascii").rstrip("\n")
    if server_key is None or secret_key is None:
        raise ValueError("server_key and secret_key go together")
    for key in (server_key, secret_key):
        if len(key) != KEY_CHARACTERS:
            raise ValueError(f"a key has {KEY_CHARACTERS} characters of Z85")
    secret = secret_key.encode("ascii")
    return server_key.encode("ascii"), zmq.curve_public(secret), secret


def set_options(socket: zmq.Socket[Any], server: str, keys: Keys | None) -> None:
    """No routing id is set: two clients with the same one would be one to the server. IMMEDIATE
    stays 0: with 1 a connection that breaks takes replies along that have arrived already."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 5000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15000)
    socket.setsockopt(zmq.IPV6, 1 if "[" in server else 0)
    if keys is not None:
        server_key, public_key, secret_key = keys
        socket.setsockopt(zmq.CURVE_SERVERKEY, server_key)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, public_key)
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret_key)


class Health:
    """What became of the connection. A refused socket never connects again by itself, so the
    client makes a new one, with a pause that doubles."""

    def __init__(self) -> None:
        self.breaks = 0
        self.connected = False
        self.refused = False
        self._pause_s = 0.0
        self._retry_at = 0.0

    def hear(self, event: int) -> None:
        if event == zmq.EVENT_DISCONNECTED:
            self.breaks += 1
            self.connected = False
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.connected = True
            self._pause_s = 0.0
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.refused = True
            self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LAST_PAUSE_S)
            self._retry_at = time.monotonic() + self._pause_s

    def must_renew(self, server: str) -> bool:
        """Whether the socket must be made anew; RefusedError while it is too early."""
        if self.refused and time.monotonic() < self._retry_at:
            raise self.error(server)
        return self.refused

    def error(self, server: str) -> RefusedError:
        return RefusedError(f"{server} does not know this client: its uid or key is not listed")
