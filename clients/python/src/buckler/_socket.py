# SPDX-License-Identifier: Apache-2.0
"""What both clients share: the socket's options and what its monitor tells."""

from __future__ import annotations

import os
import time
from typing import Any

import zmq

from ._errors import RefusedError

DEFAULT_SERVER = "ipc:///run/buckler/front.sock"
MOST_ATTEMPTS = 3
FIRST_PAUSE_S = 0.25
LAST_PAUSE_S = 4.0

EVENTS = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH


def server_url(server: str | None) -> str:
    return server or os.environ.get("BUCKLER_SERVER") or DEFAULT_SERVER


def set_options(socket: zmq.Socket[Any], server: str, curve: tuple[str, str, str] | None) -> None:
    """No routing id is set: two clients with the same one would be one to the server."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IMMEDIATE, 1)  # no queue for a dead server
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 5000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15000)
    socket.setsockopt(zmq.IPV6, 1 if "[" in server else 0)
    if curve is not None:
        server_key, public_key, secret_key = (key.encode("ascii") for key in curve)
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
