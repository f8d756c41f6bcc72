"""The board: sums over workers, what a worker leaves when it is gone, and reading what is being written."""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Any

import pytest
from tests.dimcore.stepping import Stepped, killed_at_each
from tests.support.waiting import PATIENCE

from dimcore import ConnectionPoolManifold, Core, RequestSubstrate, Segment, UsageError, tick
from dimcore.budget import Holder
from dimcore.stats.board import Board, BoardFull, Entry

GET = b"GET /a?b HTTP/1.1\r\nHost: test\r\n\r\n"
Serve = Callable[..., Any]


def a_core() -> Core:
    return Core(ConnectionPoolManifold(), RequestSubstrate())


def worker(board: Board, number: int = 0) -> tuple[Core, Entry]:
    core = a_core()
    return core, Entry(board, board.allot(number), core)


@pytest.fixture
def forked() -> Iterator[Callable[[Callable[[], None]], int]]:
    """``forked(function)`` runs it in a child process, which is killed at the end."""
    children: list[int] = []

    def start(function: Callable[[], None]) -> int:
        pid = os.fork()
        if not pid:
            try:
                function()
            finally:
                os._exit(0)
        children.append(pid)
        return pid

    yield start
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def end(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)
    os.waitpid(pid, 0)


# --- one worker ---------------------------------------------------------------------------------


def test_one_worker_shows_what_its_own_figures_say(serve: Serve) -> None:
    rig = serve({"GET /a": lambda request: "ok", "GET /bad": lambda request: 1 / 0})
    board = Board()
    entry = Entry(board, board.allot(0), rig.core)
    first, second = rig.connect(), rig.connect()
    for _ in range(3):
        first.ask(GET)
    second.ask(b"GET /bad HTTP/1.1\r\nHost: test\r\n\r\n")
    rig.connect().send(b"GET / HT")
    second.reset()
    entry.publish()
    snapshot = board.snapshot()
    assert snapshot.connections() == rig.core.pools.get_stats()
    assert snapshot.requests() == rig.core.requests.get_stats()
    assert snapshot.requests()["total_requests"] == 5
    assert snapshot.requests()["total_errors"] == 1
    index = rig.core.pools.index
    for spiral in range(4):
        for layer in range(1, 8):
            assert snapshot.count_at(spiral, layer) == index.count_at(spiral, layer)
            assert snapshot.stage_count(7, layer) == (layer == 1)  # half a head: its method is not known
    assert snapshot.count_at(0, 4) == 1
    (row,) = snapshot.workers
    assert (row["pid"], row["connections"], row["in_flight"], row["requests"]) == (os.getpid(), 2, 1, 5)


def test_nothing_is_shown_before_it_is_published() -> None:
    board = Board()
    core, entry = worker(board)
    core.pools.manifest_connection()
    assert board.snapshot().connections()["spiral_0"]["total_created"] == 0
    entry.publish()
    assert board.snapshot().connections()["spiral_0"]["total_created"] == 1


def test_a_turn_of_the_loop_is_seen_while_it_lasts() -> None:
    board = Board()
    core, entry = worker(board)
    assert board.stuck(0) == 0.0
    tick(core)
    time.sleep(0.01)
    assert 0.01 <= board.stuck(0) < PATIENCE
    assert board.snapshot().workers[0]["round_began"] is not None
    entry.publish()
    assert board.stuck(0) == 0.0
    assert board.snapshot().workers[0]["round_began"] is None


def test_rounds_grow_with_each_round_and_fullness_is_seen_by_all() -> None:
    board = Board(4)
    (_, one), (_, two) = worker(board), worker(board)
    before = board.rounds(0)
    one.publish()
    assert board.rounds(0) > before
    assert not board.full(0)
    assert not board.others_free(0, 1.0), "the other one does not serve yet"
    one.enter("serving")
    two.enter("serving")
    assert board.others_free(0, 1.0)
    two.full = True
    assert (board.full(1), two.full, one.full) == (True, True, False)
    assert not board.others_free(0, 1.0)
    assert board.others_free(1, 1.0)
    two.full = False
    two.enter("draining")
    assert not board.others_free(0, 1.0)
    board.retire(1)
    assert not board.others_free(0, 1.0)


def test_who_is_held_up_is_not_free() -> None:
    board = Board(2)
    (_, one), (core, two) = worker(board), worker(board)
    one.enter("serving")
    two.enter("serving")
    tick(core)
    time.sleep(0.02)
    assert not board.others_free(0, 0.01)
    assert board.others_free(0, 60.0)
    two.publish()
    assert board.others_free(0, 0.01)


def test_an_end_at_once_is_told_to_all() -> None:
    board = Board(2)
    assert not board.ending
    board.ending = True
    assert board.ending
    assert not board.draining


def test_a_core_without_a_board_needs_none() -> None:
    tick(a_core())


def test_pools_that_were_added() -> None:
    board = Board()
    core, entry = worker(board)
    for number in range(56):
        core.pools.add_pool(f"p{number}")
    core.pools.manifest_connection(None, None, "p55")
    entry.publish()
    snapshot = board.snapshot()
    assert snapshot.spirals == 64
    assert snapshot.connections()["spiral_63"]["total_connections"] == 1
    assert snapshot.count_at(63, 1) == 1


def test_points_of_other_kinds_are_counted_in_their_cells_alone() -> None:
    board = Board(2)
    core, entry = worker(board)
    entry.publish()
    before = board.snapshot().connections()
    for name in ("stream", "upstream", "database", "jobs"):
        core.pools.manifest_connection(pool_type=name)
    client = core.pools.manifest_connection(pool_type="api")
    entry.publish()
    snapshot = board.snapshot()
    assert [snapshot.count_at(spiral, 1) for spiral in range(8)] == [0, 0, 1, 0, 1, 1, 1, 1]
    assert snapshot.connections().keys() == before.keys()
    assert snapshot.connections() == core.pools.get_stats()
    assert snapshot.workers[0]["connections"] == 1
    core.pools.index.remove(client.id)
    entry.publish()
    assert board.snapshot().workers[0]["connections"] == 0
    known = board.retire(0)
    assert known is not None
    assert known["connections"] == 1
    assert [board.snapshot().count_at(spiral, 1) for spiral in range(8)] == [0] * 8


def test_coordinates_that_are_none() -> None:
    snapshot = Board().snapshot()
    for spiral, layer in ((-1, 1), (64, 1), (0, 0), (0, 8), (99, 99)):
        assert snapshot.count_at(spiral, layer) == 0
        assert snapshot.stage_count(spiral, layer) == 0


def test_durations(serve: Serve) -> None:
    def slow(request: Any) -> str:
        time.sleep(0.02)
        return "ok"

    rig = serve({"GET /a": lambda request: "ok", "GET /slow": slow})
    board = Board()
    entry = Entry(board, board.allot(0), rig.core)
    client = rig.connect()
    for _ in range(5):
        client.ask(GET)
    client.ask(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
    entry.publish()
    buckets, total = board.snapshot().durations()
    assert len(buckets) == 32
    assert buckets[0][0] == pytest.approx(1.024e-6)
    assert all(after[0] == before[0] * 2 for before, after in pairwise(buckets[:-1]))
    assert all(after[1] >= before[1] for before, after in pairwise(buckets))
    assert buckets[-1] == (float("inf"), 6)
    assert next(count for limit, count in buckets if limit > 0.016) <= 5  # below 16.8 ms: not the slow one
    assert total >= 0.02


# --- many, and the end of one ---------------------------------------------------------------------


def test_sums() -> None:
    board = Board(3)
    workers = [worker(board, number) for number in range(3)]
    for number, (core, entry) in enumerate(workers, 1):
        for _ in range(number):
            core.pools.manifest_connection()
        core.requests.manifest("POST", "/")
        entry.enter("serving")
    snapshot = board.snapshot()
    assert snapshot.connections()["spiral_0"]["total_connections"] == 6
    assert snapshot.count_at(0, 1) == 6
    assert snapshot.stage_count(1, 1) == snapshot.requests()["in_flight"] == 3
    assert [(row["worker"], row["number"], row["connections"]) for row in snapshot.workers] == [
        (0, 0, 1),
        (1, 1, 2),
        (2, 2, 3),
    ]
    assert {row["state"] for row in snapshot.workers} == {"serving"}


def test_totals_outlive_a_worker_once() -> None:
    board = Board(2)
    core, entry = worker(board, 7)
    for _ in range(3):
        core.pools.manifest_connection()
    core.requests.manifest("GET", "/")
    entry.publish()
    core.pools.manifest_connection()  # not published, as when it is killed in the middle of a round
    known = board.retire(0)
    assert known is not None
    assert (known["number"], known["pid"], known["state"]) == (7, os.getpid(), "starting")
    assert (known["requests"], known["connections"]) == (1, 3)
    for _ in range(3):
        snapshot = board.snapshot()
        assert snapshot.workers == []
        stats = snapshot.connections()["spiral_0"]
        assert (stats["total_created"], stats["total_closed"], stats["total_connections"]) == (3, 3, 0)
        assert snapshot.count_at(0, 1) == 0
        assert (snapshot.requests()["total_requests"], snapshot.requests()["in_flight"]) == (1, 0)
        assert board.retire(0) is None  # again
    again, entry = worker(board)
    assert entry.record == 0
    again.pools.manifest_connection()
    entry.publish()
    stats = board.snapshot().connections()["spiral_0"]
    assert (stats["total_created"], stats["total_closed"]) == (4, 3)
    board.retire(0)
    assert board.snapshot().connections()["spiral_0"]["total_closed"] == 4


def test_a_successor_begins_with_nothing() -> None:
    board = Board(2)
    for _ in range(3):
        core, entry = worker(board)
        snapshot = board.snapshot()
        assert all(not any(pool.values()) for pool in snapshot.connections().values())
        core.pools.manifest_connection(None, None, "api")
        entry.publish()
        stats = board.snapshot().connections()
        assert stats["spiral_2"]["total_created"] == stats["spiral_2"]["total_connections"] == 1
        assert not any(any(stats[f"spiral_{spiral}"].values()) for spiral in (0, 1, 3))
        core.pools.transition(core.pools.index.get_at(2, 1)[0].id, 7)
        entry.publish()
        board = Board(2)


def test_a_worker_that_never_came_up() -> None:
    board = Board()
    assert board.allot(0) == 0
    known = board.retire(0)
    assert known is not None
    assert (known["pid"], known["state"], known["in_flight"], known["stuck"]) == (0, "starting", [], None)
    assert board.allot(0) == 0


def test_old_and_new_workers_of_one_place_have_records_of_their_own() -> None:
    board = Board(3)
    old = [worker(board, 0) for _ in range(2)]
    _, entry = worker(board, 0)
    assert [each.record for _, each in old] == [0, 1]
    assert entry.record == 2
    with pytest.raises(BoardFull, match="all 3 records"):
        board.allot(0)
    board.retire(1)
    assert board.allot(0) == 1


def test_states() -> None:
    board = Board()
    assert board.state(0) == "free"
    _, entry = worker(board)
    for state in ("starting", "serving", "draining", "ended"):
        entry.enter(state)
        assert board.state(0) == board.snapshot().workers[0]["state"] == state
    with pytest.raises(UsageError, match="starting, serving, draining, ended"):
        entry.enter("dead")


def test_what_the_supervisor_counts() -> None:
    board = Board()
    board.tally("crashes")
    board.tally("reloads")
    board.tally("reloads")
    assert board.snapshot().tallies == {"crashes": 1, "recycled": 0, "reloads": 2}
    with pytest.raises(UsageError, match="crashes, recycled, reloads"):
        board.tally("lunches")
    assert not board.draining
    board.draining = True
    assert board.draining
    assert board.snapshot().draining


# --- what a dead worker was doing ------------------------------------------------------------------


def test_the_request_whose_handler_ran_on_the_loop_is_known(serve: Serve) -> None:
    board = Board()
    seen: list[Any] = []
    rig = serve({"GET /a": lambda request: seen.append(board.retire(0)) or "ok"})
    Entry(board, board.allot(0), rig.core)
    rig.connect().ask(GET)
    ((line, seconds),) = seen[0]["in_flight"]
    assert line == "GET /a?b"
    assert 0 <= seconds < PATIENCE


def test_a_long_target_is_cut(serve: Serve) -> None:
    board = Board()
    seen: list[Any] = []
    rig = serve({"GET /*": lambda request: seen.append(board.retire(0)) or "ok"})
    Entry(board, board.allot(0), rig.core)
    rig.connect().ask(b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: test\r\n\r\n")
    ((line, _),) = seen[0]["in_flight"]
    assert line == "GET /" + "a" * 107


def test_what_was_answered_in_an_earlier_round_is_not_named(serve: Serve) -> None:
    board = Board()
    rig = serve({"GET /a": lambda request: "ok"})
    entry = Entry(board, board.allot(0), rig.core)
    rig.connect().ask(GET)
    entry.publish()
    tick(rig.core)
    known = board.retire(0)
    assert known is not None
    assert known["in_flight"] == []
    assert known["stuck"] is not None


def test_requests_on_threads_are_known_up_to_seven(serve: Serve) -> None:
    board = Board(2)
    rig = serve({"GET !/t*": lambda request: "ok"})
    entry = Entry(board, board.allot(0), rig.core)
    clients = [rig.connect() for _ in range(9)]
    for number, client in enumerate(clients):
        client.send(b"GET /t/%d HTTP/1.1\r\nHost: test\r\n\r\n" % number)
    entry.publish()
    connection, request, _ = rig.jobs[0]
    connection.complete(request, "ok")
    rig.turn()
    tick(rig.core)
    entry.publish()
    known = board.retire(0)
    assert known is not None
    assert [line for line, _ in known["in_flight"]] == [f"GET /t/{number}" for number in range(1, 8)]
    assert known["stuck"] is None


def test_requests_that_are_over_are_forgotten(serve: Serve) -> None:
    board = Board()
    rig = serve({"GET !/a": lambda request: "ok"})
    entry = Entry(board, board.allot(0), rig.core)
    rig.connect().send(GET)
    entry.publish()
    connection, request, _ = rig.jobs[0]
    connection.complete(request, "ok")
    rig.turn()
    entry.publish()
    known = board.retire(0)
    assert known is not None
    assert known["in_flight"] == []


# --- other processes ------------------------------------------------------------------------------


def test_another_process_writes(forked: Any) -> None:
    board = Board(2)
    mine, entry = worker(board)
    mine.pools.manifest_connection()
    entry.publish()
    record = board.allot(1)

    def serve() -> None:
        core = a_core()
        theirs = Entry(board, record, core)
        core.pools.manifest_connection()
        core.pools.manifest_connection()
        theirs.enter("serving")
        time.sleep(PATIENCE)

    pid = forked(serve)
    until = time.monotonic() + PATIENCE
    while board.state(record) != "serving":
        assert time.monotonic() < until
        time.sleep(0.001)
    assert board.snapshot().connections()["spiral_0"]["total_connections"] == 3
    assert [row["pid"] for row in board.snapshot().workers] == [os.getpid(), pid]
    end(pid)
    assert board.retire(record)["pid"] == pid  # type: ignore[index]
    assert board.snapshot().connections()["spiral_0"]["total_connections"] == 1
    assert board.snapshot().connections()["spiral_0"]["total_created"] == 3


def busy_writer(board: Board, record: int) -> None:
    """Every published round has as many connections opened as closed, and twice as many requests."""
    core = a_core()
    entry = Entry(board, record, core)
    entry.enter("serving")
    while True:
        for _ in range(2):
            core.requests.transition(core.requests.manifest("GET", "/").id, 2)
            request = core.requests.index.get_at(0, 2)[0]
            core.requests.index.remove(request.id)
        core.pools.index.remove(core.pools.manifest_connection().id)
        entry.publish()


def whole(snapshot: Any) -> int:
    stats = snapshot.connections()["spiral_0"]
    assert stats["total_created"] == stats["total_closed"]
    assert snapshot.requests()["total_requests"] == 2 * stats["total_created"]
    created: int = stats["total_created"]
    return created


def test_a_reader_never_sees_half_a_round(forked: Any) -> None:
    board = Board(2)
    for number in range(2):
        record = board.allot(number)
        forked(lambda record=record: busy_writer(board, record))
    seen = last = 0
    until = time.monotonic() + PATIENCE
    while seen < 20_000 or last < 5_000:
        assert time.monotonic() < until, (seen, last)
        count = whole(board.snapshot())
        assert count >= last
        last = count
        seen += 1


def test_killed_in_the_middle_of_writing(forked: Any) -> None:
    board = Board(2)
    total = 0
    for _ in range(30):
        record = board.allot(0)
        pid = forked(lambda record=record: busy_writer(board, record))
        until = time.monotonic() + PATIENCE
        while whole(board.snapshot()) < total + 20:
            assert time.monotonic() < until
        end(pid)
        before = whole(board.snapshot())
        assert board.retire(record) is not None
        total = whole(board.snapshot())
        assert total == before
        assert board.snapshot().workers == []


POOLS = ("http", "websocket", "api", "admin")


def a_worker_that_publishes(board: Board, record: int) -> Callable[[], Callable[[], object]]:
    """It has published two connections of each pool, one of them closed, and is about to publish as many more."""

    def prepare() -> Callable[[], object]:
        core = a_core()
        entry = Entry(board, record, core)
        for rounds in range(2):
            for name in POOLS:
                core.pools.index.remove(core.pools.manifest_connection(pool_type=name).id)
                core.pools.manifest_connection(pool_type=name)
            if not rounds:
                entry.enter("serving")
        return entry.publish

    return prepare


def shown(board: Board) -> tuple[int, int]:
    stats = board.snapshot().connections()
    (found,) = {(pool["total_created"], pool["total_closed"]) for pool in stats.values()}  # all of one moment
    return found


def go_on(board: Board, record: int, created: int) -> None:
    """Fold a worker that was killed, and have a next one in its record."""
    assert board.retire(record) is not None
    assert shown(board) == (created, created)
    again = board.allot(0)
    assert again == record
    core = a_core()
    entry = Entry(board, again, core)
    for name in POOLS:
        core.pools.manifest_connection(pool_type=name)
    entry.publish()
    assert shown(board) == (created + 1, created)
    entry.publish()
    assert shown(board) == (created + 1, created)
    assert board.retire(again) is not None
    assert shown(board) == (created + 1, created + 1)


def test_killed_at_any_instruction_of_a_round() -> None:
    """Stopped at each instruction that changes the board: others see the round before or this one, and go on."""
    memory = memoryview(Segment(*Board.segment(1)))
    board = Board(1, memory)
    record = board.allot(0)
    process = Stepped(a_worker_that_publishes(board, record))
    seen = []
    try:
        for _ in process.changes(memory):
            seen.append(shown(board))
            left = Board(1, bytearray(memory))  # what it would leave, for others to go on with
            go_on(left, record, seen[-1][0])
    finally:
        process.kill()
    assert len(seen) > 10
    assert [key for key, _ in groupby(seen)] == [(2, 1), (4, 2)]


def test_killed_at_any_instruction_of_its_beginning() -> None:
    memory = memoryview(Segment(*Board.segment(1)))
    board = Board(1, memory)
    record = board.allot(0)
    core = a_core()
    for name in POOLS:
        core.pools.manifest_connection(pool_type=name)

    def prepare() -> Callable[[], object]:
        return lambda: Entry(board, record, core)

    process = Stepped(prepare)
    count = 0
    try:
        for count, _ in enumerate(process.changes(memory)):  # noqa: B007
            found = shown(board)
            assert found in ((0, 0), (1, 0))
            go_on(Board(1, bytearray(memory)), record, found[0])
    finally:
        process.kill()
    assert count > 10


def test_killed_at_any_instruction_while_folding() -> None:
    """A supervisor in the place of the worker: whoever reads sees a worker that is gone counted once, at any moment."""
    memory = memoryview(Segment(*Board.segment(1)))
    board = Board(1, memory)
    core, entry = worker(board)
    for name in POOLS:
        core.pools.manifest_connection(pool_type=name)
    entry.publish()
    process = Stepped(lambda: lambda: board.retire(0))
    seen = []
    try:
        for _ in process.changes(memory):
            seen.append(shown(board))
            left = Board(1, bytearray(memory))
            left.retire(0)
            assert shown(left) == (1, 1)
    finally:
        process.kill()
    assert len(seen) > 10
    assert [key for key, _ in groupby(seen)] == [(1, 0), (1, 1)]


def test_killed_indeed() -> None:
    """The same with real deaths, each of another process."""
    memory = memoryview(Segment(*Board.segment(1)))
    board = Board(1, memory)
    record = board.allot(0)
    ends = set()

    def look() -> None:
        created, closed = shown(board)
        ends.add((created, closed))
        go_on(board, record, created)

    assert killed_at_each(memory, a_worker_that_publishes(board, record), look, 6) > 10
    assert ends <= {(0, 0), (2, 1), (4, 2)}
    assert (2, 1) in ends


def test_killed_at_any_instruction_while_a_request_is_named(serve: Serve) -> None:
    """A request in flight is named whole or not at all."""
    memory = memoryview(Segment(*Board.segment(1)))
    board = Board(1, memory)
    rig = serve({"GET /*": lambda request: "ok"})
    Entry(board, board.allot(0), rig.core)
    client = rig.connect()
    names = ("GET /first/of-the-two", "GET /second")

    def prepare() -> Callable[[], object]:
        client.ask(f"{names[0]} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        client.sock.send(f"{names[1]} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return rig.turn

    process = Stepped(prepare)
    seen = []
    try:
        for _ in process.changes(memory):
            left = Board(1, bytearray(memory)).retire(0)
            assert left is not None
            found = [line for line, _ in left["in_flight"]]
            assert found in ([], [names[0]], [names[1]])
            seen.append(found)
    finally:
        process.kill()
    assert seen[-1] == [names[1]]


def test_folding_is_seen_at_once_or_not_at_all(forked: Any) -> None:
    """A reader beside a supervisor that folds: the sum never falls, and no worker counts twice."""
    board = Board(2)
    reader = board.allot(0)
    shared = memoryview(mmap.mmap(-1, 4 * 8)).cast("q")
    made, stop, stopped, wrong = range(4)

    def read() -> None:
        Entry(board, reader, a_core()).enter("serving")
        last = 0
        while not shared[stop]:
            count = board.snapshot().connections()["spiral_0"]["total_created"]
            if not last <= count <= shared[made]:
                shared[wrong] += 1
            last = count
        shared[stopped] = 1

    forked(read)
    until = time.monotonic() + PATIENCE
    while board.state(reader) != "serving":
        assert time.monotonic() < until
        time.sleep(0.001)
    for _ in range(300):
        core, entry = worker(board)
        core.pools.manifest_connection()
        shared[made] += 1
        entry.publish()
        board.retire(entry.record)
    shared[stop] = 1
    while not shared[stopped]:
        assert time.monotonic() < until
        time.sleep(0.001)
    assert shared[wrong] == 0
    assert board.snapshot().connections()["spiral_0"]["total_created"] == 300


# --- misuse -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("records", [0, -1, 513])
def test_sizes(records: int) -> None:
    with pytest.raises(UsageError, match="1 to 512"):
        Board(records)


def test_buffers() -> None:
    memory = mmap.mmap(-1, Board.size(2))
    board = Board(2, memory)
    board.tally("crashes")
    assert Board(2, memory).snapshot().tallies["crashes"] == 1
    with pytest.raises(UsageError, match="something else"):
        Board(1, memory)
    with pytest.raises(UsageError, match=f"takes {Board.size(3)} bytes"):
        Board(3, memory)
    with pytest.raises(UsageError, match="something else"):
        Board(1, bytearray(b"x" * Board.size(1)))
    with pytest.raises(BufferError):
        Board(1, bytes(Board.size(1)))
    with pytest.raises(UsageError, match="multiple of 8"):
        Board(1, memoryview(bytearray(Board.size(1) + 1))[1:])


def test_records_that_are_none() -> None:
    board = Board(2)
    for number in (-1, 2):
        for call in (
            board.retire,
            board.stuck,
            board.state,
            board.rounds,
            board.full,
            lambda record: board.others_free(record, 1),
            lambda record: Entry(board, record, a_core()),
        ):
            with pytest.raises(UsageError, match="records 0 to 1"):
                call(number)
    with pytest.raises(UsageError, match="allotted to nobody"):
        Entry(board, 0, a_core())
    with pytest.raises(UsageError, match="0 or more"):
        board.allot(-1)
    assert board.retire(0) is None


def test_budgets_are_summed_over_workers_and_what_has_happened_outlives_them() -> None:
    board = Board(2)
    cores = [worker(board, number) for number in range(2)]
    holders = []
    for number, (core, entry) in enumerate(cores):
        core.configure(memory=100_000 * (number + 1), disk=50_000)
        holders.append((Holder(core.memory), Holder(core.disk)))
        holders[-1][0].hold(1000 * (number + 1))
        holders[-1][1].hold(500)
        assert not Holder(core.memory).hold(500_000)
        entry.publish()
    found = board.snapshot().budgets()
    assert found["memory"] == {
        "limit": 300_000, "used": 3000, "peak": 501_000 + 502_000, "holders": 2, "ended": 0, "refused": 2,
    }  # fmt: skip
    assert found["spool"] == {"limit": 100_000, "used": 1000, "peak": 1000, "holders": 2, "ended": 0, "refused": 0}
    board.retire(cores[1][1].record)
    found = board.snapshot().budgets()
    assert (found["memory"]["used"], found["memory"]["limit"], found["memory"]["refused"]) == (1000, 100_000, 2)
