# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio: as many requests in flight as the daemon's window takes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from . import _socket, _wire
from ._errors import BucklerError, DisconnectedError, NoReplyError, ProtocolError
from ._wire import Part, Verdict


class AsyncClient:
    """As Client. Use it within one event loop, with ``async with`` or ``close``."""

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
        self._context = zmq.asyncio.Context()
        self._ids = itertools.count()
        self._open: dict[str, asyncio.Future[Verdict]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._socket: zmq.asyncio.Socket | None = None
        self._monitor: zmq.asyncio.Socket | None = None
        self._health = _socket.Health()
        self._connected = asyncio.Event()

    def _connect(self) -> zmq.asyncio.Socket:
        socket = self._context.socket(zmq.DEALER)
        _socket.set_options(socket, self.server, self._keys)
        monitor: Any = socket.get_monitor_socket(_socket.EVENTS)
        self._health = _socket.Health()
        self._connected = asyncio.Event()
        socket.connect(self.server)
        self._socket, self._monitor = socket, monitor
        self._listening = asyncio.create_task(self._listen(socket, monitor))
        self._listening.add_done_callback(self._stopped_listening)
        return socket

    async def _disconnect(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        if self._socket is not None and self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close(0)
        self._socket = self._monitor = None

    async def close(self) -> None:
        await self._disconnect()
        self._fail_open(DisconnectedError("the client was closed"))
        if not self._context.closed:
            self._context.term()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def classify(
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
        """Judges the parts; see PROTOCOL.md for the fields. A task that is cancelled while it
        waits here lets the daemon know."""
        return await self._ask(
            "classify",
            timeout,
            parts=_wire.make_parts(text, image, parts),
            policy=policy,
            scope=scope,
            deadline_ms=deadline_ms,
            class_=class_,
            subject=subject,
            idem=idem,
            traceparent=traceparent,
            want=want,
        )

    async def hello(self, timeout: float | None = None) -> Verdict:
        """The daemon's limits and policies, in ``raw``."""
        return await self._ask("hello", timeout)

    async def ping(self, timeout: float | None = None) -> Verdict:
        return await self._ask("ping", timeout)

    async def cancel(self, target: str, timeout: float | None = None) -> Verdict:
        return await self._ask("cancel", timeout, target=target)

    def open_ids(self) -> tuple[str, ...]:
        """Ids of the requests that wait for their replies, for ``cancel``."""
        return tuple(self._open)

    async def _ask(self, op: str, timeout: float | None, **fields: Any) -> Verdict:
        limit = self.timeout if timeout is None else timeout
        try:
            return await asyncio.wait_for(self._attempts(op, fields), limit)
        except asyncio.TimeoutError as error:
            raise NoReplyError(f"{self.server} did not answer in time") from error

    async def _attempts(self, op: str, fields: dict[str, Any]) -> Verdict:
        for attempt in range(1, _socket.MOST_ATTEMPTS + 1):
            try:
                return await self._attempt(op, fields)
            except DisconnectedError:
                if attempt == _socket.MOST_ATTEMPTS or self._context.closed:
                    raise
        raise AssertionError("the loop returns or raises")

    async def _attempt(self, op: str, fields: dict[str, Any]) -> Verdict:
        request_id = f"p{next(self._ids)}"
        frames = _wire.encode(op, request_id, **fields)
        deaf = self._listening is not None and self._listening.done()
        if self._health.must_renew(self.server) or deaf:
            await self._disconnect()
        socket = self._socket or self._connect()
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._open[request_id] = future
        sending = asyncio.ensure_future(self._send(socket, frames))
        try:
            waiting: set[asyncio.Future[Any]] = {sending, future}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                await sending  # raises what went wrong with it
            return await future
        except asyncio.CancelledError:
            if op == "classify" and sending.done():
                self._send_cancel(socket, request_id)
            raise
        finally:
            sending.cancel()
            self._open.pop(request_id, None)

    async def _send(self, socket: zmq.asyncio.Socket, frames: list[bytes]) -> None:
        # A socket whose connection has just broken still takes messages for a moment, and loses
        # them.
        await self._connected.wait()
        await socket.send_multipart(frames)

    def _send_cancel(self, socket: zmq.asyncio.Socket, target: str) -> None:
        """Best effort: its reply finds nobody waiting and is dropped."""
        frames = _wire.encode("cancel", f"p{next(self._ids)}", target=target)
        sent = asyncio.ensure_future(socket.send_multipart(frames))
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _listen(self, socket: zmq.asyncio.Socket, monitor: zmq.asyncio.Socket) -> None:
        poller = zmq.asyncio.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(monitor, zmq.POLLIN)
        while True:
            await poller.poll()
            events = [parse_monitor_message(frames)["event"] for frames in _arrived(monitor)]
            # Read after the events and taken before them: what arrived before a break is no loss.
            for frames in _arrived(socket):
                self._take(frames)
            for event in events:
                self._hear(event)

    def _take(self, frames: list[bytes]) -> None:
        try:
            verdict = _wire.decode(frames)
        except ProtocolError as error:
            self._fail_open(error)  # nobody can tell whose reply it was
            return
        if verdict.id == "":
            self._fail_open(ProtocolError(f"the daemon could not read a request: {verdict.detail}"))
            return
        future = self._open.get(verdict.id)
        if future is not None and not future.done():
            future.set_result(verdict)

    def _stopped_listening(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._fail_open(
                BucklerError(f"listening to {self.server} failed: {task.exception()!r}")
            )

    def _hear(self, event: int) -> None:
        self._health.hear(event)
        if self._health.connected:
            self._connected.set()
        else:
            self._connected.clear()
        if self._health.refused:
            self._fail_open(self._health.error(self.server))
        elif event == zmq.EVENT_DISCONNECTED:
            self._fail_open(DisconnectedError(f"the connection to {self.server} broke"))

    def _fail_open(self, error: BucklerError) -> None:
        for future in self._open.values():
            if not future.done():
                future.set_exception(error)


def _arrived(socket: zmq.asyncio.Socket) -> Iterator[list[bytes]]:
    """The messages that can be read without waiting."""
    plain: zmq.Socket[bytes] = zmq.Socket.shadow(socket.underlying)
    with contextlib.suppress(zmq.Again):
        while True:
            yield plain.recv_multipart(zmq.DONTWAIT)
