"""What a conversation is by itself: nothing that can be served."""

from __future__ import annotations

from typing import Any

from dimcore.conn.handler import DrivenHandler, ResponseDriver


def test_a_conversation_without_content_is_a_fault_of_the_handler(serve: Any) -> None:
    rig = serve({"GET /": lambda request: ResponseDriver()})
    assert rig.connect().ask().status == 500
    ((message, _, error),) = rig.reports
    assert message == "a handler failed"
    assert "nothing to say" in str(error)


def test_a_conversant_that_takes_no_body(serve: Any) -> None:
    class Handler(DrivenHandler):
        def __call__(self, request: Any) -> str:
            return request.body.decode() or "nothing"

    handler = Handler()
    rig = serve({"GET /": handler, "POST /": handler})
    client = rig.connect()
    assert client.ask().body == b"nothing"
    assert client.ask(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab").body == b"ab"
