# SPDX-License-Identifier: Apache-2.0
"""A ROUTER that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

Answer = Callable[[dict[str, Any], list[bytes]], "list[bytes] | None"]


def allow(header: dict[str, Any], payloads: list[bytes]) -> list[bytes]:
    reply = {"id": header["id"], "status": 200, "verdict": "allow", "moderated": True}
    return [json.dumps(reply).encode()]


class Server:
    """Serves on a thread; `answer` makes the frames of a reply, or None for silence."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/server.sock"
        self.answer: Answer = allow
        self.requests: list[tuple[dict[str, Any], list[bytes]]] = []
        self.frames: list[list[bytes]] = []
        self.arrived = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._starts = 0
        self.start()

    def start(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        router = self._context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 1000)  # what was answered goes out
        router.bind(self.endpoint)
        self._starts += 1
        self._stop_name = f"inproc://stop.{self._starts}"
        self._stop = self._context.socket(zmq.PAIR)
        self._stop.bind(self._stop_name)
        self._thread = threading.Thread(target=self._serve, args=(router, self._stop_name))
        self._thread.start()

    def stop(self) -> None:
        """Goes away, as a daemon that dies does; `start` brings it back."""
        assert self._thread is not None
        self._stop.send(b"")
        self._thread.join()
        self._stop.close(0)
        # Closing alone leaves the listener's file for later, when it may be the next server's.
        self._context.term()
        self._thread = None

    def close(self) -> None:
        if self._thread is not None:
            self.stop()

    def _serve(self, router: zmq.Socket[bytes], stop_name: str) -> None:
        stop = self._context.socket(zmq.PAIR)
        stop.connect(stop_name)
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        poller.register(stop, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if stop in ready:
                stop.close(0)
                router.close()
                return
            route, *frames = router.recv_multipart()
            header = json.loads(frames[0])
            self.frames.append(frames)
            self.requests.append((header, frames[1:]))
            reply = self.answer(header, frames[1:])
            if reply is not None:
                router.send_multipart([route, *reply])
            self.arrived.release()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.close()
