# SPDX-License-Identifier: Apache-2.0
"""The client that waits. A lock lets several threads share it, one request at a time."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

import zmq
from zmq.utils.monitor import recv_monitor_message

from . import _socket, _wire
from ._errors import DisconnectedError, NoReplyError, ProtocolError
from ._wire import Part, Verdict

_Frames = Callable[[str], list[bytes]]


class Client:
    """A connection to a daemon.

    ``server`` is an endpoint (``ipc://PATH``, ``tcp://HOST:PORT``), by default $BUCKLER_SERVER.
    ``timeout`` is the longest wait of a call in seconds. ``server_key`` is the server's public
    CURVE key and ``secret_key`` the client's own secret, as Z85 text; without them, those of
    $BUCKLER_SERVER_KEY and of the file $BUCKLER_SECRET_KEY_FILE are used for tcp.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        timeout: float = 10.0,
        server_key: str | None = None,
        secret_key: str | None = None,
    ) -> None:
        self.server = _socket.server_url(server)
        self.timeout = timeout
        self._keys = _socket.find_keys(self.server, server_key, secret_key)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._lock = threading.Lock()
        self._ids = itertools.count()
        self._connect()

    def _connect(self) -> None:
        self._socket = self._context.socket(zmq.DEALER)
        _socket.set_options(self._socket, self.server, self._keys)
        self._monitor = self._socket.get_monitor_socket(_socket.EVENTS)
        self._health = _socket.Health()
        self._socket.connect(self.server)

    def _disconnect(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def close(self) -> None:
        with self._lock:
            if not self._context.closed:
                self._disconnect()
                self._context.term()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def classify(
        self,
        *,
        text: str | None = None,
        image: bytes | None = None,
        parts: Iterable[Part] | None = None,
        policy: str | None = None,
        scope: str | None = None,
        deadline_ms: int | None = None,
        class_: str | None = None,
        subject: str | None = None,
        idem: str | None = None,
        traceparent: str | None = None,
        want: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Verdict:
        """Judges the parts; see PROTOCOL.md for the fields."""

        made = _wire.make_parts(text, image, parts)

        def frames(request_id: str) -> list[bytes]:
            return _wire.encode(
                "classify",
                request_id,
                parts=made,
                policy=policy,
                scope=scope,
                deadline_ms=deadline_ms,
                class_=class_,
                subject=subject,
                idem=idem,
                traceparent=traceparent,
                want=want,
            )

        return self._ask(frames, timeout)

    def hello(self, timeout: float | None = None) -> Verdict:
        """The daemon's limits and policies, in ``raw``."""
        return self._ask(lambda request_id: _wire.encode("hello", request_id), timeout)

    def ping(self, timeout: float | None = None) -> Verdict:
        return self._ask(lambda request_id: _wire.encode("ping", request_id), timeout)

    def cancel(self, target: str, timeout: float | None = None) -> Verdict:
        """Ends the open request ``target``. This client has none open while it is idle, so that
        it serves to tell whether a daemon knows the op; AsyncClient can cancel."""
        return self._ask(
            lambda request_id: _wire.encode("cancel", request_id, target=target), timeout
        )

    def _ask(self, frames: _Frames, timeout: float | None) -> Verdict:
        until = time.monotonic() + (self.timeout if timeout is None else timeout)
        with self._lock:
            for _ in range(_socket.MOST_ATTEMPTS):
                request_id = f"p{next(self._ids)}"
                breaks = self._send(frames(request_id), until)
                verdict = self._receive(request_id, breaks, until)
                if verdict is not None:
                    return verdict
        raise DisconnectedError(
            f"the connection to {self.server} broke {_socket.MOST_ATTEMPTS} times"
        )

    def _send(self, frames: list[bytes], until: float) -> int:
        """Sends when there is a connection; how many had broken before it did."""
        if self._health.must_renew(self.server):
            self._disconnect()
            self._connect()
        while True:
            self._hear()
            breaks = self._health.breaks
            # A socket whose connection has just broken still takes messages for a moment, and
            # loses them.
            if not self._health.connected:
                self._wait(0, until)
                continue
            with contextlib.suppress(zmq.Again):
                self._socket.send_multipart(frames, zmq.DONTWAIT)
                return breaks
            self._wait(zmq.POLLOUT, until)

    def _receive(self, request_id: str, breaks: int, until: float) -> Verdict | None:
        """The reply, or None when the connection broke."""
        while True:
            frames: list[bytes] = []
            with contextlib.suppress(zmq.Again):
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            if not frames:
                if self._health.breaks != breaks:
                    return None
                self._wait(zmq.POLLIN, until)
                continue
            verdict = _wire.decode(frames)
            if verdict.id == request_id:
                return verdict
            if verdict.id == "":
                raise ProtocolError(f"the daemon could not read the request: {verdict.detail}")
            # Otherwise it is the late reply to a call that gave up.

    def _wait(self, events: int, until: float) -> None:
        poller = zmq.Poller()
        if events:
            poller.register(self._socket, events)
        poller.register(self._monitor, zmq.POLLIN)
        left = until - time.monotonic()
        ready = dict(poller.poll(max(0, int(left * 1000 + 0.999))))
        self._hear()
        if self._health.refused:
            raise self._health.error(self.server)
        if not ready:
            raise NoReplyError(f"{self.server} did not answer in time")

    def _hear(self) -> None:
        while self._monitor.poll(0):
            self._health.hear(recv_monitor_message(self._monitor)["event"])
