# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from conftest import Server, allow

import buckler


def reply(header: dict[str, Any], **fields: Any) -> list[bytes]:
    return [json.dumps({"id": header["id"], "status": 200, "verdict": "deny", **fields}).encode()]


def test_text_and_image_become_parts_in_this_order(server: Server) -> None:
    with buckler.Client(server.endpoint) as client:
        verdict = client.classify(text="häh", image=b"\x89PNG", policy="p", scope="upload")
    assert verdict.allowed
    header, payloads = server.requests[0]
    assert [part["kind"] for part in header["parts"]] == ["text", "image"]
    assert payloads == ["häh".encode(), b"\x89PNG"]
    assert (header["policy"], header["scope"]) == ("p", "upload")


def test_the_environment_names_the_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKLER_SERVER", server.endpoint)
    with buckler.Client() as client:
        assert client.ping().status == 200


def test_a_deny_is_not_allowed_and_says_why(server: Server) -> None:
    server.answer = lambda header, _: reply(
        header,
        action="review",
        decided_by={"rule": "hate.mid"},
        scores=[{"category": "hate_speech", "part": 0, "score": 0.6}],
        audit={"index": 7, "durable": True},
    )
    with buckler.Client(server.endpoint) as client:
        verdict = client.classify(text="x")
    assert not verdict.allowed
    assert (verdict.action, verdict.rule, verdict.audit_index) == ("review", "hate.mid", 7)
    assert verdict.scores[0].score == 0.6


def test_an_error_status_is_a_verdict_that_does_not_allow(server: Server) -> None:
    server.answer = lambda header, _: reply(
        header, status=503, code="overloaded", detail="later", retry_after_ms=200, moderated=False
    )
    with buckler.Client(server.endpoint) as client:
        verdict = client.classify(text="x")
    assert not verdict.allowed
    assert (verdict.status, verdict.code, verdict.retry_after_ms) == (503, "overloaded", 200)


@pytest.mark.parametrize(
    "bytes_", [b"", b"allow", b'"allow"', b'{"verdict":"allow"}', b"\xff", b"[]"]
)
def test_a_hostile_reply_is_an_error(server: Server, bytes_: bytes) -> None:
    server.answer = lambda header, _: [bytes_]
    with buckler.Client(server.endpoint) as client, pytest.raises(buckler.ProtocolError):
        client.classify(text="x")


def test_a_request_that_the_daemon_could_not_read_is_an_error(server: Server) -> None:
    server.answer = lambda header, _: reply({"id": ""}, status=400, code="bad_header")
    with buckler.Client(server.endpoint) as client, pytest.raises(buckler.ProtocolError):
        client.classify(text="x")


def test_silence_is_an_error_and_the_late_reply_is_not_taken_for_the_next(server: Server) -> None:
    server.answer = lambda header, _: None
    with buckler.Client(server.endpoint) as client:
        with pytest.raises(buckler.NoReplyError):
            client.classify(text="x", timeout=0.2)
        late = server.requests[0][0]

        def both(header: dict[str, Any], payloads: list[bytes]) -> list[bytes]:
            return reply(late, verdict="allow")

        server.answer = both
        with pytest.raises(buckler.NoReplyError):
            client.classify(text="y", timeout=0.2)
        server.answer = lambda header, _: reply(header)
        assert not client.classify(text="z").allowed


def test_nobody_there_is_an_error(tmp_path: Any) -> None:
    with (
        buckler.Client(f"ipc://{tmp_path}/nobody.sock", timeout=0.2) as client,
        pytest.raises(buckler.NoReplyError),
    ):
        client.classify(text="x")


def test_a_daemon_that_comes_later_is_found(server: Server) -> None:
    server.stop()
    with buckler.Client(server.endpoint) as client:
        server.start()
        assert client.classify(text="x").allowed


def test_a_request_is_sent_again_when_the_daemon_dies_over_it(server: Server) -> None:
    server.answer = lambda header, _: None
    verdicts: list[buckler.Verdict] = []
    with buckler.Client(server.endpoint) as client:
        thread = threading.Thread(target=lambda: verdicts.append(client.classify(text="x")))
        thread.start()
        assert server.arrived.acquire(timeout=10)
        server.stop()
        server.answer = allow
        server.start()
        thread.join(20)
    assert [verdict.allowed for verdict in verdicts] == [True]
    assert len(server.requests) == 2
    assert server.requests[0][0]["id"] != server.requests[1][0]["id"]


def test_threads_share_a_client_one_request_at_a_time(server: Server) -> None:
    verdicts: list[bool] = []
    with buckler.Client(server.endpoint) as client:

        def work() -> None:
            for _ in range(20):
                verdicts.append(client.classify(text="x").allowed)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert verdicts == [True] * 80


def test_wrong_requests_are_refused_before_they_are_sent(server: Server) -> None:
    big = b"x" * ((20 << 20) + 1)
    with buckler.Client(server.endpoint) as client:
        with pytest.raises(buckler.InvalidRequestError):
            client.classify()
        with pytest.raises(buckler.InvalidRequestError):
            client.classify(parts=[buckler.Part("text", "x")] * 9)
        with pytest.raises(buckler.InvalidRequestError):
            client.classify(image=big)
        with pytest.raises(buckler.InvalidRequestError):
            client.classify(parts=[buckler.Part("image", big[: 17 << 20])] * 2)
        with pytest.raises(buckler.InvalidRequestError):
            client.classify(text="x", subject="x" * 20000)
        assert client.ping().status == 200
    assert len(server.requests) == 1


def test_redacted_parts_come_with_the_verdict(server: Server) -> None:
    server.answer = lambda header, _: [*reply(header, verdict="allow", action="redact"), b"***"]
    with buckler.Client(server.endpoint) as client:
        verdict = client.classify(text="secret")
    assert verdict.redacted == (b"***",)


def test_errors_are_of_one_family() -> None:
    for name in ("NoReplyError", "DisconnectedError", "RefusedError", "ProtocolError"):
        assert issubclass(getattr(buckler, name), buckler.BucklerError)
    assert issubclass(buckler.NoReplyError, TimeoutError)
