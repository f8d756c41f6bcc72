"""POST /api/X/ID/VERB: what an operator can have done to a row of a resource, in the process that keeps it."""

from __future__ import annotations

from functools import partial

from dimserver.handlers.status.access import ACTING
from dimserver.handlers.status.figures import in_service, look
from dimserver.handlers.status.identity import identify
from dimserver.handlers.status.json_answer import FORBIDDEN, answer
from dimserver.handlers.status.resource import Refused, no_such
from dimserver.http.deferred import Deferred
from dimserver.net.worker_rpc import SUPERVISOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dimserver.handlers.status.resource import Outcome, Resource, Verb
    from dimserver.handlers.status.types import Answer, Context, Handler, Reply, Request

__all__ = ["MOST_BODY", "Action"]

LONGEST_ID = 1000  # characters
MOST_BODY = 64 * 1024  # bytes
PATIENCE = 2.0  # seconds for the process that keeps the row: a change that was made is to be told of
CHANGED = (200, 202)


class Action(Deferred):
    """The verbs of one resource.

    Every change is logged, with who asked for it.

    Args:
        context: the process that answers.
        resource: what is acted on.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context, resource: Resource) -> None:
        self._context = context
        self._resource = resource

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "POST", f"/api/{self._resource.name}/{{id}}/{{verb}}", self

    def begin(self, request: Request, reply: Reply) -> None:
        """Do it here, or have the process do it that keeps the row."""
        context = self._context
        resource = self._resource
        try:
            verb, arguments, number = self._read(request)
            name, who = request.params["id"], identify(request)
            if number != SUPERVISOR and number != context.number and number not in in_service(look(context)):
                raise no_such(resource.noun, name)
        except Refused as refused:
            context.loop.call_later(0, partial(reply, answer(*refused.outcome)))
            return

        def done(outcome: Outcome) -> None:
            self._log(request, arguments, who, outcome[0])
            reply(answer(*outcome))

        def act() -> None:
            try:
                done(resource.act(verb, name, arguments, who))
            except Exception as error:  # a fault of the verb: nobody else would ever answer
                reply(None, error)

        def told(answers: dict[int, Outcome], missing: dict[int, str]) -> None:
            if number in answers:
                done(answers[number])
                return
            whose = "supervisor" if number == SUPERVISOR else number
            reply(answer(503, {"error": "no answer", "worker": whose, "detail": missing[number]}))

        if number == SUPERVISOR and context.server is not None:
            # When nothing of this connection is at work: what is done may fork this process.
            context.loop.call_later(0, act)
        elif number == context.number:
            # While it is: a connection that is to be closed may be this one, and is after its answer.
            context.loop.call_later(0, partial(done, resource.act(verb, name, arguments, who)))
        else:
            context.peers.ask([number], ("act", resource.name, verb, name, arguments, who), told, PATIENCE)

    def __call__(self, request: Request) -> Answer:
        """The same for the rows of this process alone."""
        try:
            verb, arguments, number = self._read(request)
            name = request.params["id"]
            if number != self._context.number and (number != SUPERVISOR or self._context.server is None):
                raise no_such(self._resource.noun, name)
        except Refused as refused:
            return answer(*refused.outcome)
        return answer(*self._resource.act(verb, name, arguments, identify(request)))

    def _log(self, request: Request, arguments: dict[str, Any], who: str, status: int) -> None:
        if status in CHANGED:
            params = request.params
            given = "".join(f" {name}={value!r}" for name, value in arguments.items())
            self._context.log.info(
                f"operator: {params['verb']} of {self._resource.noun} {params['id']}{given}, by {who}: {status}"
            )

    # --- what is asked --------------------------------------------------------------------------

    def _read(self, request: Request) -> tuple[str, dict[str, Any], int]:
        """Verb, arguments, and the number of the process that keeps the row.

        Raises:
            Refused: it is not allowed, or makes no sense.
        """
        resource = self._resource
        if not self._context.access.may_act(request):
            raise Refused(403, {"error": FORBIDDEN, "detail": ACTING})
        name, word = request.params["id"], request.params["verb"]
        verb = resource.verbs.get(word)
        if verb is None:
            allowed = ", ".join(resource.verbs)
            raise Refused(404, {"error": "no such verb", "verb": word[:100], "allowed": allowed})
        if len(name) > LONGEST_ID:
            raise no_such(resource.noun, name)
        return word, _arguments(request, verb), resource.keeper(name)


def _arguments(request: Request, verb: Verb) -> dict[str, Any]:
    """The arguments of a verb.

    Raises:
        Refused: the body is no JSON object, or has another key or value than the verb takes.
    """
    import json

    body = request.body
    if len(body) > MOST_BODY:
        raise _bad("the body", f"{len(body)} bytes", f"at most {MOST_BODY} bytes", 413)
    given: object = {}
    if body:
        kind = request.headers.getall("content-type")
        if len(kind) != 1 or kind[0].partition(";")[0].strip().lower() != "application/json":
            raise _bad("Content-Type", ", ".join(kind), "application/json")  # which no web page's form can send
        try:
            given = json.loads(body, object_pairs_hook=_once)
        except Refused:
            raise
        except (ValueError, RecursionError):
            raise _bad("the body", body[:100].decode("utf-8", "replace"), "a JSON object") from None
    if not isinstance(given, dict):
        raise _bad("the body", json.dumps(given)[:100], "a JSON object")
    known = {argument.name: argument for argument in verb.arguments}
    names = ", ".join(known) or "none"
    for name, value in given.items():
        if name not in known:
            raise _bad(name, json.dumps(value), f"no such parameter; these are: {names}")
    arguments: dict[str, Any] = {}
    for name, argument in known.items():
        try:
            arguments[name] = argument.read(given[name])
        except KeyError:
            raise _bad(name, None, argument.allowed) from None
        except ValueError:
            raise _bad(name, json.dumps(given[name]), argument.allowed) from None
    return arguments


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _bad(name, str(value), "once")
        found[name] = value
    return found


def _bad(parameter: str, value: str | None, allowed: str, status: int = 400) -> Refused:
    shown = None if value is None else value[:100]
    return Refused(status, {"error": "bad parameter", "parameter": parameter[:100], "value": shown, "allowed": allowed})
