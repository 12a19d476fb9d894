# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conftest import Server, allow

import buckler

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 30))


async def arrived(server: Server) -> None:
    assert await asyncio.to_thread(server.arrived.acquire, timeout=10)


def test_many_requests_are_in_flight_and_each_gets_its_own_reply(server: Server) -> None:
    held: list[dict[str, Any]] = []

    def in_pairs(header: dict[str, Any], payloads: list[bytes]) -> list[bytes] | None:
        held.append(header)
        if header["op"] == "ping":
            return allow(header, payloads)
        verdict = "allow" if payloads[0] == b"good" else "deny"
        return [json.dumps({"id": header["id"], "status": 200, "verdict": verdict}).encode()]

    server.answer = in_pairs

    async def work() -> list[bool]:
        async with buckler.AsyncClient(server.endpoint) as client:
            texts = ["good" if i % 3 else "bad" for i in range(60)]
            verdicts = await asyncio.gather(*(client.classify(text=text) for text in texts))
            return [verdict.allowed for verdict in verdicts]

    assert run(work()) == [bool(i % 3) for i in range(60)]


def test_silence_is_an_error_and_the_daemon_is_told(server: Server) -> None:
    server.answer = lambda header, payloads: (
        None if header["op"] == "classify" else allow(header, payloads)
    )

    async def work() -> None:
        async with buckler.AsyncClient(server.endpoint) as client:
            with pytest.raises(buckler.NoReplyError):
                await client.classify(text="x", timeout=0.3)
            await arrived(server)
            await arrived(server)
            assert (await client.ping()).status == 200

    run(work())
    assert [header["op"] for header, _ in server.requests] == ["classify", "cancel", "ping"]
    assert server.requests[1][0]["target"] == server.requests[0][0]["id"]


def test_a_hostile_reply_is_an_error(server: Server) -> None:
    server.answer = lambda header, payloads: [b'{"verdict":"allow"}']

    async def work() -> None:
        async with buckler.AsyncClient(server.endpoint) as client:
            with pytest.raises(buckler.ProtocolError):
                await client.classify(text="x")
            server.answer = allow
            assert (await client.classify(text="x")).allowed

    run(work())


def test_a_request_is_sent_again_when_the_daemon_dies_over_it(server: Server) -> None:
    server.answer = lambda header, payloads: None

    async def work() -> bool:
        async with buckler.AsyncClient(server.endpoint) as client:
            asking = asyncio.create_task(client.classify(text="x"))
            await arrived(server)
            await asyncio.to_thread(server.stop)
            server.answer = allow
            server.start()
            return (await asking).allowed

    assert run(work())
    assert len(server.requests) == 2


def test_a_reply_from_before_the_break_is_no_loss(server: Server) -> None:
    async def call() -> str:
        async with buckler.AsyncClient(server.endpoint) as client:
            asked = asyncio.create_task(client.classify(text="hello"))
            await arrived(server)
            server.stop()  # blocks the loop: the reply and the break are there together
            return (await asked).verdict

    assert run(call()) == "allow"
    assert len(server.requests) == 1


def test_a_fault_while_listening_fails_the_call_and_the_next_one_works(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a fault")

    async def call() -> str:
        async with buckler.AsyncClient(server.endpoint) as client:
            with monkeypatch.context() as patch:
                patch.setattr(client, "_take", fault)
                with pytest.raises(buckler.BucklerError, match="a fault"):
                    await client.classify(text="hello")
            return (await client.classify(text="hello")).verdict

    assert run(call()) == "allow"


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    async def work() -> None:
        async with buckler.AsyncClient(f"ipc://{tmp_path}/nobody.sock", timeout=0.2) as client:
            with pytest.raises(buckler.NoReplyError):
                await client.ping()

    run(work())


def test_closing_fails_what_is_open(server: Server) -> None:
    server.answer = lambda header, payloads: None

    async def work() -> None:
        client = buckler.AsyncClient(server.endpoint)
        asking = asyncio.create_task(client.classify(text="x"))
        await arrived(server)
        assert len(client.open_ids()) == 1
        await client.close()
        with pytest.raises(buckler.DisconnectedError):
            await asking

    run(work())


def test_an_open_request_can_be_cancelled(server: Server) -> None:
    server.answer = lambda header, payloads: (
        None if header["op"] == "classify" else allow(header, payloads)
    )

    async def work() -> None:
        async with buckler.AsyncClient(server.endpoint) as client:
            asking = asyncio.create_task(client.classify(text="x"))
            await arrived(server)
            (target,) = client.open_ids()
            assert (await client.cancel(target)).status == 200
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    run(work())
    assert server.requests[1][0]["target"] == server.requests[0][0]["id"]
