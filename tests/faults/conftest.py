"""A server that faults are done to, a bystander who must not notice, and a look at what is left behind."""

from __future__ import annotations

import gc
import os
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from tests.dimserver.conftest import child  # noqa: F401 - a fixture
from tests.support.processes import open_files
from tests.support.rounds import quick_rounds  # noqa: F401 - a fixture
from tests.support.servers import Local
from tests.support.waiting import PATIENCE, until
from tests.support.wire import Wire

from dimcore import BadRequest, Composite, FileBody
from dimserver import App

MIB = 1024 * 1024
LARGE = 48 * MIB  # more than the kernel's buffers of both sides take


class Faulted:
    """A worker with a handler for every way to be in the middle of something.

    Attributes:
        begun: how many handlers that wait have begun.
        gate: what they wait for.
        closed: how many streams were closed.
        cut: errors that readers of a body got.
    """

    def __init__(self, spool: pathlib.Path, **settings: object) -> None:
        self.spool = spool
        self.begun = 0
        self.gate = threading.Event()
        self.closed = 0
        self.cut: list[BaseException] = []
        self.file = spool.parent / "large"
        with self.file.open("wb") as made:
            made.truncate(LARGE)
        self.wires: list[Wire] = []
        # A limit on each address that nobody reaches: what it counts must be given back too.
        self.server = Local(self._app(), spool_dir=str(spool), limit_body=64 * MIB, body_memory=64 * 1024,
                            max_per_address=1000, log_level="critical", **settings)  # fmt: skip
        self.bystander = self.server.connect()
        self.ask()
        self.opened = open_files()

    def _app(self) -> App:
        app = App()
        app.get("/")(lambda request: "index")
        app.get("/large")(lambda request: bytes(LARGE))
        app.get("/file")(self._file)
        app.get("/file/thread", blocking=True)(self._file)
        app.get("/parts")(lambda request: (200, None, Composite([b"<", self._opened(), b">"])))
        app.get("/stream")(self._stream)
        app.get("/stream/thread", blocking=True)(self._stream)
        app.get("/wait", blocking=True)(self._wait)
        app.post("/body")(lambda request: str(len(request.body)))
        app.post("/body/thread", blocking=True, stream=True)(self._read)
        return app

    def _opened(self) -> FileBody:
        return FileBody(os.open(self.file, os.O_RDONLY), 0, LARGE)

    def _file(self, _: Any) -> Any:
        return 200, None, self._opened()

    def _stream(self, _: Any) -> Iterator[bytes]:
        try:
            for _ in range(LARGE // MIB):
                yield bytes(MIB)
        finally:
            self.closed += 1

    def _wait(self, _: Any) -> str:
        self.begun += 1
        assert self.gate.wait(PATIENCE)
        return "waited"

    def _read(self, request: Any) -> str:
        self.begun += 1
        try:
            return str(sum(map(len, request.stream())))
        except BadRequest as error:
            self.cut.append(error)
            raise

    def connect(self, receive_buffer: int = 0) -> Wire:
        host, _, port = self.server.url.removeprefix("http://").rpartition(":")
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect((host, int(port)))
        self.wires.append(Wire(sock))
        return self.wires[-1]

    def ask(self) -> None:
        """The bystander is served, on a connection that was there all the time."""
        assert self.bystander.get("/").answer()[2] == b"index"

    def is_clean(self) -> bool:
        """Whether nobody but the bystander is left, in any count there is."""
        worker = self.server.worker
        return (
            worker.pools.index.total_connections() == 1
            and worker.pipeline.get_stats()["in_flight"] == 0
            and worker._threads.in_flight == 0
            and worker._core.turned_away == 0
            and worker._core.addresses.count("127.0.0.1") == 1
            and open_files().keys() <= self.opened.keys()
        )

    def check(self) -> None:
        """Nothing is left of the fault, and the server goes on."""
        self.ask()
        until(self.is_clean, "something is left behind")
        assert list(self.spool.iterdir()) == []
        self.ask()
        with self.connect() as wire:
            assert wire.get("/").answer()[2] == b"index"

    def close(self) -> None:
        self.gate.set()
        for wire in (*self.wires, self.bystander):
            wire.close()
        self.server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test no descriptor, thread or temporary file may be there that was not before."""
    import tempfile

    # A directory of its own: in the system's there are files of other servers.
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))

    def files() -> set[str]:
        # Files: a directory is that of another server of this machine, with the sockets of its workers.
        with os.scandir(tempfile.gettempdir()) as found:
            return {entry.name for entry in found if entry.name.startswith("dimserver-") and not entry.is_dir()}

    before, threads, temporary = open_files(), set(threading.enumerate()), files()
    yield
    gc.collect()
    end = time.monotonic() + PATIENCE
    while set(threading.enumerate()) - threads and time.monotonic() < end:
        time.sleep(0.01)
    assert set(threading.enumerate()) - threads == set()
    left = {name: what for name, what in open_files().items() if name not in before}
    assert left == {}
    assert files() - temporary == set()


@pytest.fixture
def faulted(tmp_path: pathlib.Path) -> Iterator[Callable[..., Faulted]]:
    """``faulted(**settings)`` starts a `Faulted`, stopped at the end."""
    made: list[Faulted] = []

    def start(**settings: object) -> Faulted:
        spool = tmp_path / f"spool{len(made)}"
        spool.mkdir()
        made.append(Faulted(spool, **settings))
        return made[-1]

    yield start
    for server in made:
        server.close()
