"""/api/servers, /api/reloads and /api/workers: the server as a whole, and what its supervisor does."""

from __future__ import annotations

from dimserver.handlers.status.resource import Keeper, Resource, Verb, no_such, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from dimserver.handlers.status.resource import Outcome, Row
    from dimserver.handlers.status.types import Context, Server

__all__ = ["ReloadResource", "ServerResource", "WorkerResource"]


class ServerResource(Resource):
    """The one server there is, by the id of its first process."""

    name = "servers"
    noun = "server"
    keepers = Keeper.SUPERVISOR
    numbered = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.verbs = {
            "reload": Verb(self._reload),
            "drain": Verb(self._drain),
            "scale": Verb(self._scale, whole("workers", 1, context.board.records)),
            "reopen": Verb(self._reopen),
        }

    def rows(self) -> Iterable[Row]:
        """The one."""
        return _server(self.context).servers()

    def _found(self, name: str) -> Row:
        (row,) = _server(self.context).servers()
        if row["id"] != name:
            raise no_such(self.noun, name)
        return row

    def _reload(self, name: str, arguments: dict[str, Any], who: str) -> Outcome:  # noqa: ARG002 - as every verb
        """Take up new code and configuration; `reload` of the row is the one that was asked for."""
        self._found(name)
        _server(self.context).reload(who)
        return 202, self._found(name)

    def _drain(self, name: str, arguments: dict[str, Any], who: str) -> Outcome:  # noqa: ARG002 - as every verb
        """Finish what is in flight and end, as SIGTERM has it do."""
        self._found(name)
        _server(self.context).drain()
        return 202, self._found(name)

    def _scale(self, name: str, arguments: dict[str, Any], who: str) -> Outcome:  # noqa: ARG002 - as every verb
        """Have another number of workers, until the next reload."""
        self._found(name)
        _server(self.context).scale(arguments["workers"])
        return 202, self._found(name)

    def _reopen(self, name: str, arguments: dict[str, Any], who: str) -> Outcome:  # noqa: ARG002 - as every verb
        """Open the log files again, after they were renamed."""
        self._found(name)
        _server(self.context).reopen_logs()
        return 200, self._found(name)


class ReloadResource(Resource):
    """The last reloads, and what became of them."""

    name = "reloads"
    noun = "reload"
    keepers = Keeper.SUPERVISOR
    numbered = True

    def rows(self) -> Iterable[Row]:
        """The oldest first."""
        return _server(self.context).reloads()


class WorkerResource(Resource):
    """The workers: what the supervisor knows of each, and whether it answers."""

    name = "workers"
    noun = "worker"
    keepers = Keeper.SUPERVISOR | Keeper.WORKERS
    numbered = True
    shared = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.verbs = {"restart": Verb(self._restart)}

    def rows(self) -> Iterable[Row]:
        """All of them where this is the supervisor; else this one, which says that it answers by doing so."""
        context = self.context
        rows = [] if context.server is None else context.server.workers()
        if not context.is_worker:
            return [{**row, "answers": False} for row in rows]
        return [{**row, "answers": True} for row in rows] or [{"id": str(context.number), "answers": True}]

    def join(self, one: Row, other: Row) -> Row:
        """The supervisor's part, and the worker's sign of life."""
        row = one if "pid" in one else other
        return {**row, "answers": True}

    def _restart(self, name: str, arguments: dict[str, Any], who: str) -> Outcome:  # noqa: ARG002 - as every verb
        """Replace it by a new one, which serves before this one leaves."""
        server = _server(self.context)
        row = next((row for row in server.workers() if row["id"] == name), None)
        if row is None:
            raise no_such(self.noun, name)
        server.restart(row["worker"], who)
        return 202, row


def _server(context: Context) -> Server:
    if context.server is None:
        raise LookupError("the supervisor has this")
    return context.server
