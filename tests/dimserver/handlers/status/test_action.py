"""Verbs: who may, what is asked for, which process does it, and what the log says."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status import StatusAPI
from dimserver.handlers.status.access import Access
from dimserver.handlers.status.action import MOST_BODY, Action
from dimserver.handlers.status.connections import ConnectionResource
from dimserver.handlers.status.resource import conflict
from dimserver.handlers.status.servers import ServerResource
from dimserver.net.worker_rpc import SUPERVISOR

JSON = {"content_type": "application/json"}


@pytest.fixture
def close(context: Any) -> Action:
    return Action(context, ConnectionResource(context))


@pytest.fixture
def server(context: Any) -> Action:
    context.lead()
    return Action(context, ServerResource(context))


def of(ask: Any, peer: Any, name: str, verb: str = "close", body: bytes = b"", **fields: Any) -> Any:
    request = ask("", peer, {"id": name, "verb": verb}, **fields)
    request.body = body
    return request


@pytest.mark.parametrize("state", ["serving", "draining"])
def test_one_of_another_worker(
    close: Action, context: Any, ask: Any, admin: Any, read: Any, later: Any, state: str
) -> None:
    number = context.another(1, state).record
    context.peers.answers = {number: (200, {"id": f"{number}-a-b"})}
    assert read(later(close, of(ask, admin, f"{number}-a-b"))) == {"id": f"{number}-a-b"}
    question = ("act", "connections", "close", f"{number}-a-b", {}, "127.0.0.1:40000")
    assert context.peers.asked == [([number], question)]
    assert context.log.lines == [f"operator: close of connection {number}-a-b, by 127.0.0.1:40000: 200"]
    context.peers.answers = {number: (404, {"error": "no such connection"})}
    read(later(close, of(ask, admin, f"{number}-a")), 404)
    assert len(context.log.lines) == 1  # nothing was changed
    context.peers.answers, context.peers.missing = {}, {number: "no answer within 2 s"}
    found = read(later(close, of(ask, admin, f"{number}-a")), 503)
    assert (found["worker"], found["detail"]) == (number, "no answer within 2 s")


@pytest.mark.parametrize("name", ["0-a", "3-a", "77-a", "1-b", "", "a", "-a", "1-", "x" * 2000])
def test_one_that_is_not_there(
    close: Action, context: Any, ask: Any, admin: Any, read: Any, later: Any, name: str
) -> None:
    found = read(later(close, of(ask, admin, name)), 404)
    assert found == {"error": "no such connection", "id": name[:200]}
    assert context.peers.asked == []
    assert read(close(of(ask, admin, name)), 404) == found


def test_what_the_supervisor_does(server: Action, context: Any, ask: Any, admin: Any, read: Any, later: Any) -> None:
    assert read(later(server, of(ask, admin, "77", "reload")), 202) == {"id": "77", "done": 1}
    assert read(later(server, of(ask, admin, "77", "scale", b'{"workers": 3}', **JSON)), 202)["done"] == 2
    assert read(later(server, of(ask, admin, "77", "drain", b"{}", **JSON)), 202)["done"] == 3
    assert read(later(server, of(ask, admin, "77", "reopen")))["done"] == 4
    assert context.server.done == [("reload", "127.0.0.1:40000"), ("scale", 3), ("drain",), ("reopen",)]
    assert context.log.lines[1] == "operator: scale of server 77 workers=3, by 127.0.0.1:40000: 202"
    assert read(later(server, of(ask, admin, "78", "reload")), 404)["error"] == "no such server"
    context.server.refusal = conflict("the server is ending")
    assert read(later(server, of(ask, admin, "77", "reload")), 409) == {"error": "the server is ending"}
    assert read(server(of(ask, admin, "77", "reload")), 409) == {"error": "the server is ending"}
    assert len(context.log.lines) == 4


def test_a_worker_has_the_supervisor_do_it(context: Any, ask: Any, admin: Any, read: Any, later: Any) -> None:
    action = Action(context, ServerResource(context))
    context.peers.answers = {SUPERVISOR: (202, {"id": "77"})}
    assert read(later(action, of(ask, admin, "77", "drain")), 202) == {"id": "77"}
    assert context.peers.asked == [([SUPERVISOR], ("act", "servers", "drain", "77", {}, "127.0.0.1:40000"))]
    context.peers.answers, context.peers.missing = {}, {SUPERVISOR: "it is gone"}
    assert read(later(action, of(ask, admin, "77", "drain")), 503)["worker"] == "supervisor"
    assert read(action(of(ask, admin, "77", "drain")), 404)["error"] == "no such server"


BAD: list[tuple[bytes, dict[str, Any], str]] = [
    (b"", {}, "workers"),
    (b"{}", JSON, "workers"),
    (b'{"workers": 0}', JSON, "workers"),
    (b'{"workers": 5}', JSON, "workers"),
    (b'{"workers": "2"}', JSON, "workers"),
    (b'{"workers": 2, "worker": 3}', JSON, "worker"),
    (b'{"workers": 2, "workers": 3}', JSON, "workers"),
    (b'{"workers": 2}', {}, "Content-Type"),
    (b'{"workers": 2}', {"content_type": "text/plain"}, "Content-Type"),
    (b'{"workers": 2}', {"content_type": ["application/json", "application/json"]}, "Content-Type"),
    (b'{"workers": 2', JSON, "the body"),
    (b"workers=2", JSON, "the body"),
    (b"[2]", JSON, "the body"),
    (b"[" * 60000, JSON, "the body"),
    (b"\xff\xfe", JSON, "the body"),
    (b'{"workers": NaN}', JSON, "workers"),
]


@pytest.mark.parametrize(("body", "fields", "parameter"), BAD)
def test_a_bad_argument(
    server: Action, context: Any, ask: Any, admin: Any, read: Any, later: Any, body: bytes, fields: Any, parameter: str
) -> None:
    found = read(later(server, of(ask, admin, "77", "scale", body, **fields)), 400)
    assert (found["error"], found["parameter"]) == ("bad parameter", parameter)
    assert found.keys() == {"error", "parameter", "value", "allowed"}
    assert context.server.done == []


def test_a_body_that_is_too_long(server: Action, context: Any, ask: Any, admin: Any, read: Any, later: Any) -> None:
    body = b'{"workers": 2}'.ljust(MOST_BODY)
    assert read(later(server, of(ask, admin, "77", "scale", body, **JSON)), 202)
    assert read(later(server, of(ask, admin, "77", "scale", body + b" ", **JSON)), 413)["parameter"] == "the body"
    assert context.server.done == [("scale", 2)]


def test_a_verb_there_is_not(server: Action, ask: Any, admin: Any, read: Any, later: Any) -> None:
    found = read(later(server, of(ask, admin, "77", "explode")), 404)
    assert found == {"error": "no such verb", "verb": "explode", "allowed": "reload, drain, scale, reopen"}


def test_strangers_and_pages_may_not(
    server: Action, context: Any, ask: Any, peer: Any, admin: Any, read: Any, later: Any
) -> None:
    for connection in (peer(), peer(None), peer(("203.0.113.9", 1))):
        for name in ("77", "nonsense"):
            assert read(later(server, of(ask, connection, name, "drain")), 403)["error"] == "forbidden"
    for fields in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}):
        assert later(server, of(ask, admin, "77", "drain", **fields))[0] == 403
    context.access = Access("s3cret")
    assert later(server, of(ask, admin, "77", "drain"))[0] == 403
    assert context.server.done == []
    assert later(server, of(ask, peer(), "77", "drain", authorization="Bearer s3cret"))[0] == 202


def test_a_fault_of_a_verb_is_answered(context: Any, ask: Any, admin: Any) -> None:
    context.lead()
    resource = ServerResource(context)
    resource.verbs["drain"].act = lambda *given: 1 / 0  # type: ignore[assignment]
    answers: list[Any] = []
    action = Action(context, resource)
    action.begin(of(ask, admin, "77", "drain"), lambda result, error=None: answers.append((result, error)))
    context.loop.run()
    ((result, error),) = answers
    assert result is None
    assert isinstance(error, ZeroDivisionError)


def test_another_process_asks(context: Any) -> None:
    api = StatusAPI(context)
    assert api.question("act", "connections", "close", "1-x", {}, "me") == (
        404,
        {"error": "no such connection", "id": "1-x"},
    )


def test_routes(close: Action) -> None:
    assert list(close.routes()) == [("POST", "/api/connections/{id}/{verb}", close)]
