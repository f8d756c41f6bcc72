"""The board: the figures of all workers of a server, in memory they share.

Each worker writes its own record, once a round of its loop, without a lock
(`worker_record.pxd` has its layout); any worker, and the supervisor, reads them all and adds
them up.  When a worker is gone the supervisor folds its record into a sum of its
own, the estate, so that totals outlive it: those of its last whole round, which
is all of them unless it was killed in the middle of one.

The estate names the worker of each record that is in it.  A record counts in a
sum only if its worker is not named there, so no figure is counted twice or left
out, whichever of the two a reader sees first.
"""
cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.unistd cimport getpid

from dimcore.budget cimport Budget
from dimcore.clock cimport monotonic_ns
from dimcore.conn.core cimport Core
from dimcore.http.request cimport RequestPoint
from dimcore.http.request_table cimport request_stats
from dimcore.index.index cimport Index, Point
from dimcore.index.pools cimport ConnectionPoolManifold
from dimcore.limits cimport LAYERS, MAX_SPIRALS, METHODS, POOLS, RESPONSE_READY, ROUTED, SPIRALS
from dimcore.shared.atomics cimport load_i64, load_u64, store_i64
from dimcore.shared.segment cimport Segment
from dimcore.shared.two_copies cimport TRIES, is_shown, put_copies, read_copy, shown_copy, spare_copy, swap_copies
from dimcore.worker_record cimport (
    BUCKETS, BUDGETS, DRAINING, ENDED, FIRST_BUCKET_BITS, FREE, LINES, SERVING, STARTING, BudgetFigures, Figures, Line,
    PoolFigures, Record, figures_size, set_line,
)

from dimcore.errors import DimcoreError, UsageError

cdef enum:
    VERSION = 1              # of the layout; its size is in the segment's
    LIST_NS = 10000000       # between two looks at requests that stay in flight

cdef uint64_t MAGIC = 0x316472616f626d64     # "dmboard1"
cdef double NS = 1e9

cdef dict STATES = {"starting": STARTING, "serving": SERVING, "draining": DRAINING, "ended": ENDED}
cdef tuple STATE_NAMES = ("free", "starting", "serving", "draining", "ended")
cdef tuple BUDGET_NAMES = ("memory", "spool")
cdef tuple TALLY_NAMES = ("crashes", "recycled", "reloads")


class BoardFull(DimcoreError):
    """Every record has a worker that is not folded in yet."""


@cython.final
cdef class Board:
    """Shared figures of the workers of one server.

    Args:
        records: workers at a time, 1 to 512.  Only those that are used take memory, 12 KiB each.
        buffer: writable memory of `Board.size(records)` bytes, zeroed or of another Board, as the segment that
            `Board.segment(records)` describes; a segment of its own when None.  Made before a fork, it is one board for
            both processes.

    Raises:
        UsageError: a bad number of records, a buffer that is too small or holds something else.
        SegmentError: the system refuses the memory.

    Lifetime: holds the buffer.
    Thread-safety: `allot`, `retire`, `tally`, `draining` and `ending` are the supervisor's alone; everything else is
        for any process and thread.
    """

    def __cinit__(self, int records=1, buffer=None):
        if not 1 <= records <= MAX_RECORDS:
            raise UsageError(f"a board has 1 to {MAX_RECORDS} records, got {records}")
        if buffer is None:
            buffer = Segment(*Board.segment(records))
        PyObject_GetBuffer(buffer, &self.view, PyBUF_WRITABLE)
        if self.view.len < <Py_ssize_t> (sizeof(Header) + records * sizeof(Record)):
            raise UsageError(f"a board of {records} records takes {Board.size(records)} bytes, got {self.view.len}")
        if <size_t> self.view.buf & 7:
            raise UsageError("the memory of a board must begin at a multiple of 8")
        self.header = <Header *> self.view.buf
        if self.header.magic == 0:
            self.header.records = records
            self.header.started_ns = monotonic_ns()
            self.header.magic = MAGIC
        elif self.header.magic != MAGIC or self.header.records != records:
            raise UsageError("the buffer holds something else than a board of that many records")
        self.records = records

    def __dealloc__(self):
        if self.view.buf != NULL:
            PyBuffer_Release(&self.view)

    @staticmethod
    def size(records):
        """Bytes that a board of so many records takes."""
        return sizeof(Header) + <int> records * sizeof(Record)

    @staticmethod
    def segment(records):
        """Name, version and size of the segment that a board of so many records lies in."""
        return "board", <int> VERSION, Board.size(records)

    # C interface

    cdef Record *record(self, int number) except NULL:
        if not 0 <= number < self.records:
            raise UsageError(f"this board has records 0 to {self.records - 1}, got {number}")
        return <Record *> (<char *> self.view.buf + sizeof(Header)) + number

    cdef void read_figures(self, int number, Figures *into) noexcept:
        """A whole copy of a record's figures.

        A reader that is overtaken at every try ends up with a mix of two rounds that follow each other, in
        which each figure is one that was true; it was never seen to happen.
        """
        cdef Record *record = <Record *> (<char *> self.view.buf + sizeof(Header)) + number
        cdef const Figures *copy
        cdef uint64_t sequence
        cdef int _
        for _ in range(TRIES):
            sequence = load_u64(&record.sequence)
            copy = <const Figures *> shown_copy(sequence, &record.copies, sizeof(Figures))
            memcpy(into, copy, figures_size(0))
            # An owner's word, yet it decides about memory: kept in bounds in any case.
            into.spirals = min(max(into.spirals, 0), <int> MAX_SPIRALS)
            memcpy(&into.pools, &copy.pools, <size_t> into.spirals * sizeof(PoolFigures))
            if is_shown(&record.sequence, sequence):
                return

    cdef void read_estate(self, Estate *into) noexcept:
        read_copy(&self.header.sequence, &self.header.copies, sizeof(Estate), into)

    cdef Snapshot look(self):
        cdef Snapshot snapshot
        cdef Estate estate
        cdef Figures figures
        cdef uint64_t sequence
        cdef int number, _
        for _ in range(TRIES):
            sequence = load_u64(&self.header.sequence)
            self.read_estate(&estate)
            snapshot = Snapshot.__new__(Snapshot)
            snapshot.add(-1, &estate.figures, 0, True)
            for number in range(<int> min(load_i64(&self.header.used), <int64_t> self.records)):
                self.read_figures(number, &figures)
                if figures.serial > estate.folded[number]:
                    snapshot.add(number, &figures, load_i64(&self.record(number).round_ns), False)
            if is_shown(&self.header.sequence, sequence):
                break                # else one was folded meanwhile, and its record may have another worker already
        snapshot.started = self.header.started_ns / NS
        snapshot.draining = load_i64(&self.header.draining) != 0
        snapshot.tallies = {name: load_i64(&self.header.tallies[at]) for at, name in enumerate(TALLY_NAMES)}
        return snapshot

    # Python interface

    def snapshot(self):
        """The figures of all workers and of those that are gone, added up: a `Snapshot`.

        Cost: O(records in use), a few microseconds each.
        """
        return self.look()

    def allot(self, int number):
        """A record for a worker that is about to be started.

        Args:
            number: the worker's place, 0 or more, for the eyes of the operator; several may have the same.

        Returns:
            The record's number, to be given to the worker's `Entry` and, once it is gone, to `retire`.

        Raises:
            BoardFull: every record has a worker.
            UsageError: a negative number.
        """
        cdef Estate *estate = &self.header.copies[self.header.sequence & 1]
        cdef Figures figures
        cdef Record *record
        cdef int at, line
        if number < 0:
            raise UsageError(f"a worker's place is 0 or more, got {number}")
        for at in range(self.records):
            self.read_figures(at, &figures)
            if figures.serial <= estate.folded[at]:
                break
        else:
            raise BoardFull(f"all {self.records} records have a worker")
        record = self.record(at)
        memset(&figures, 0, sizeof(Figures))
        self.header.serials += 1
        figures.serial = self.header.serials
        figures.state = STARTING
        figures.number = number
        figures.started_ns = figures.heartbeat_ns = monotonic_ns()
        for line in range(LINES):
            record.lines[line].size = 0
        record.round_ns = 0
        record.full = 0
        put_copies(&record.sequence, &record.copies, sizeof(Figures), &figures)
        if at >= self.header.used:
            store_i64(&self.header.used, at + 1)
        return at

    def retire(self, int record):
        """Fold the figures of a worker that is gone into the sum; a second call changes nothing.

        Call it once the process has been waited for, and before the record can be allotted again.
        All its connections count as closed.

        Args:
            record: as `allot` gave it.

        Returns:
            What is known of its end, as a dict: `number`, `pid`, `state` (``ended`` if it left by itself),
            `requests`, `errors`, `connections` and `answered` requests it had, `age` in seconds, `in_flight`: pairs of
            method and target and the seconds since that request began, `stuck`: seconds that the last round of its
            loop had taken, None if it was waiting for events.  None if there is no worker to fold.

            Of the requests in flight it knows the last one whose handler began on the loop in a round that did
            not end, and up to seven of those on threads or with an answer on its way, as of the last whole round.

        Raises:
            UsageError: no such record.
        """
        cdef Record *at = self.record(record)
        cdef Header *header = self.header
        cdef Estate *estate
        cdef Figures figures
        cdef int64_t now = monotonic_ns()
        cdef int spiral, line
        cdef list lines = []
        self.read_figures(record, &figures)
        if figures.serial <= header.copies[header.sequence & 1].folded[record]:
            return None
        estate = <Estate *> spare_copy(&header.sequence, &header.copies, sizeof(Estate))
        memcpy(estate, &header.copies[header.sequence & 1], sizeof(Estate))
        add_requests(&estate.figures, &figures)
        estate.figures.spirals = max(estate.figures.spirals, figures.spirals)
        for spiral in range(figures.spirals):
            add_pool(&estate.figures.pools[spiral], &figures.pools[spiral])
            estate.figures.pools[spiral].closed += figures.pools[spiral].created - figures.pools[spiral].closed
            memset(&estate.figures.pools[spiral].layers, 0, sizeof(estate.figures.pools[spiral].layers))
        memset(&estate.figures.stages, 0, sizeof(estate.figures.stages))
        for spiral in range(BUDGETS):    # what it held is given back; what happened is kept
            estate.figures.budgets[spiral].ended += figures.budgets[spiral].ended
            estate.figures.budgets[spiral].refused += figures.budgets[spiral].refused
        estate.folded[record] = figures.serial
        swap_copies(&header.sequence)
        for line in range(LINES):
            # What an earlier round named on the loop has been answered since.
            if at.lines[line].size and (line or 0 < at.round_ns <= at.lines[0].since_ns):
                lines.append((line_text(&at.lines[line]), (now - at.lines[line].since_ns) / NS))
        return {
            "number": figures.number,
            "pid": figures.pid,
            "state": STATE_NAMES[min(max(figures.state, <int64_t> FREE), <int64_t> ENDED)],
            "requests": figures.requests.requests,
            "errors": figures.requests.errors,
            "connections": figures.connections,
            "answered": figures.requests.answered,
            "age": (now - figures.started_ns) / NS,
            "in_flight": lines,
            "stuck": (now - at.round_ns) / NS if at.round_ns else None,
        }

    def stuck(self, int record):
        """Seconds since the loop of a worker took up events without waiting for the next; 0.0 while it waits.

        Raises:
            UsageError: no such record.
        """
        cdef int64_t began = load_i64(&self.record(record).round_ns)
        return max(0.0, (monotonic_ns() - began) / NS) if began else 0.0

    def rounds(self, int record):
        """A number that grows whenever a worker shows its figures, which it does at the end of each round of its loop.

        Raises:
            UsageError: no such record.
        """
        return load_u64(&self.record(record).sequence)

    def full(self, int record):
        """Whether all threads of a worker are taken and requests wait for one.

        Raises:
            UsageError: no such record.
        """
        return load_i64(&self.record(record).full) != 0

    def others_free(self, int record, double seconds):
        """Whether another worker serves that is not full, nor has been in one round of its loop for so long.

        Raises:
            UsageError: no such record.
        """
        cdef Record *at
        cdef const Figures *figures
        cdef Header *header = self.header
        cdef int64_t now = monotonic_ns(), began
        cdef int number
        self.record(record)
        for number in range(<int> min(load_i64(&header.used), <int64_t> self.records)):
            at = self.record(number)
            figures = &at.copies[load_u64(&at.sequence) & 1]
            # A word each, of which any that was true a moment ago will do.
            if number == record or figures.state != SERVING or load_i64(&at.full):
                continue
            if figures.serial <= header.copies[load_u64(&header.sequence) & 1].folded[number]:
                continue
            began = load_i64(&at.round_ns)
            if began == 0 or (now - began) / NS < seconds:
                return True
        return False

    def state(self, int record):
        """``starting``, ``serving``, ``draining`` or ``ended``; ``free`` before the first worker.

        Raises:
            UsageError: no such record.
        """
        cdef Figures figures
        self.record(record)
        self.read_figures(record, &figures)
        return STATE_NAMES[min(max(figures.state, <int64_t> FREE), <int64_t> ENDED)]

    def tally(self, str what not None):
        """Count an event of the supervisor's: ``crashes``, ``recycled`` or ``reloads``.

        Raises:
            UsageError: no such count.
        """
        cdef int at
        if what not in TALLY_NAMES:
            raise UsageError(f"no count is called {what!r}; there are {', '.join(TALLY_NAMES)}")
        at = TALLY_NAMES.index(what)
        store_i64(&self.header.tallies[at], self.header.tallies[at] + 1)

    @property
    def draining(self):
        """Whether the whole server is on its way out."""
        return load_i64(&self.header.draining) != 0

    @draining.setter
    def draining(self, bint value):
        store_i64(&self.header.draining, value)

    @property
    def ending(self):
        """Whether the whole server is to end at once, whatever is in flight."""
        return load_i64(&self.header.ending) != 0

    @ending.setter
    def ending(self, bint value):
        store_i64(&self.header.ending, value)


cdef void add_requests(Figures *sum, const Figures *figures) noexcept:
    cdef int at
    sum.requests.requests += figures.requests.requests
    sum.requests.processed += figures.requests.processed
    sum.requests.errors += figures.requests.errors
    sum.requests.time_ns += figures.requests.time_ns
    sum.requests.answered += figures.requests.answered
    for at in range(BUCKETS):
        sum.requests.buckets[at] += figures.requests.buckets[at]


cdef void add_budget(BudgetFigures *sum, const BudgetFigures *budget) noexcept:
    sum.limit += budget.limit
    sum.used += budget.used
    sum.peak += budget.peak
    sum.holders += budget.holders
    sum.ended += budget.ended
    sum.refused += budget.refused


cdef void show_budget(BudgetFigures *figures, Budget budget) noexcept:
    figures.limit = budget.limit
    figures.used = budget.used
    figures.peak = budget.peak
    figures.holders = budget.holders
    figures.ended = budget.ended
    figures.refused = budget.refused


cdef void add_pool(PoolFigures *sum, const PoolFigures *pool) noexcept:
    cdef int layer
    sum.created += pool.created
    sum.closed += pool.closed
    sum.refused += pool.refused
    sum.requests += pool.requests
    sum.bytes_in += pool.bytes_in
    sum.bytes_out += pool.bytes_out
    for layer in range(1, LAYERS + 1):
        sum.layers[layer] += pool.layers[layer]


cdef str line_text(const Line *line):
    return PyUnicode_DecodeASCII(line.text, min(line.size, <uint32_t> sizeof(line.text)), "backslashreplace")


@cython.final
cdef class Entry:
    """A worker's own record of a board.

    From here on the worker's core writes to it what it is doing, and `publish` what it has done.

    Args:
        board: the server's.
        record: as `Board.allot` gave it.
        core: the worker's.

    Raises:
        UsageError: the record does not exist, or was allotted to nobody.

    Lifetime: the core holds the board from then on.
    Thread-safety: the loop's thread only; in the process of the worker, not before its fork.
    """

    def __cinit__(self, Board board not None, int record, Core core not None):
        cdef Figures figures
        self.at = board.record(record)
        memset(&figures, 0, sizeof(Figures))     # pools that are not in use are not read, and `write` counts on zeros
        board.read_figures(record, &figures)
        if figures.serial <= board.header.copies[board.header.sequence & 1].folded[record]:
            raise UsageError(f"record {record} was allotted to nobody")
        self.board = board
        self.record = record
        self.core = core
        self.state = STARTING
        figures.pid = getpid()
        figures.state = STARTING
        # Both copies: `write` leaves alone what does not change, and what was left half-done by whoever is gone.
        put_copies(&self.at.sequence, &self.at.copies, sizeof(Figures), &figures)
        core.board = board
        core.running = &self.at.lines[0]
        core.round_ns = &self.at.round_ns
        self.publish()

    def publish(self):
        """Show what has been counted so far; once a round of the loop, before it waits.  About 50 ns."""
        cdef Record *at = self.at
        self.write(<Figures *> spare_copy(&at.sequence, &at.copies, sizeof(Figures)))
        swap_copies(&at.sequence)
        at.round_ns = 0

    @property
    def full(self):
        """Whether all threads are taken and requests wait for one."""
        return self.at.full != 0

    @full.setter
    def full(self, bint value):
        store_i64(&self.at.full, value)

    def enter(self, str state not None):
        """Change the worker's state and show it: ``starting``, ``serving``, ``draining`` or ``ended``.

        Raises:
            UsageError: no such state.
        """
        if state not in STATES:
            raise UsageError(f"no state is called {state!r}; there are {', '.join(STATES)}")
        self.state = STATES[state]
        self.publish()

    cdef void write(self, Figures *figures) noexcept:
        cdef Core core = self.core
        cdef ConnectionPoolManifold pools = core.pools
        cdef Index index = pools.index
        cdef Index requests = core.request_index
        cdef PoolFigures *pool
        cdef int spiral, layer
        figures.state = self.state
        figures.heartbeat_ns = core.now_ns
        figures.connections = pools.admitted_ever()
        figures.turned_away = core.doorway.total
        figures.requests = core.requests.totals
        show_budget(&figures.budgets[0], core.memory)
        show_budget(&figures.budgets[1], core.disk)
        figures.spirals = index.spirals
        if requests.total or self.listed:
            self.list_requests()
        if requests.total == 0:
            memset(&figures.stages, 0, sizeof(figures.stages))
        else:
            for spiral in range(METHODS):
                for layer in range(1, LAYERS + 1):
                    figures.stages[spiral][layer] = <int32_t> requests.rows[spiral][layer].count
        for spiral in range(index.spirals):
            pool = &figures.pools[spiral]
            pool.refused = pools.totals[spiral].refused
            if index.rows[spiral] == NULL:       # nobody was ever in it, so all else is zero still
                continue
            pool.created = index.rows[spiral][0].count
            pool.closed = pool.created
            for layer in range(1, LAYERS + 1):
                pool.layers[layer] = <int32_t> index.rows[spiral][layer].count
                pool.closed -= index.rows[spiral][layer].count
            pool.requests = pools.totals[spiral].requests
            pool.bytes_in = pools.totals[spiral].bytes_in
            pool.bytes_out = pools.totals[spiral].bytes_out

    cdef void list_requests(self) noexcept:
        """Name requests that stay in flight, for whoever has to say what a dead worker was doing.

        The first of each cell, up to seven: those whose handler runs elsewhere before those being sent.
        """
        cdef Core core = self.core
        cdef Index index = core.request_index
        cdef PyObject *at
        cdef RequestPoint request
        cdef int stage, method, line = 1
        if index.total == self.listed and core.now_ns - self.listed_ns < LIST_NS:
            return
        self.listed = index.total
        self.listed_ns = core.now_ns
        for stage in (<int> ROUTED, <int> RESPONSE_READY):
            for method in range(METHODS):
                at = index.rows[method][stage].first
                while at != NULL and line < LINES:
                    request = <RequestPoint> at
                    # What is not its own may lie in memory that was used for others since.
                    if request.owner is not None and request.info.length:
                        set_line(&self.at.lines[line], request.base + request.info.method_at,
                                 request.info.target_at + request.info.target_length - request.info.method_at,
                                 request.started_ns)
                        line += 1
                    at = (<Point> at).next
        while line < LINES:
            self.at.lines[line].size = 0
            line += 1


@cython.final
cdef class Snapshot:
    """Figures of all workers at a moment, added up; made by `Board.snapshot`.

    Attributes:
        spirals: that are or were in use, from 0 on.
        started: when the server was, on the clock of ``time.monotonic()``.
        draining: whether the whole server is on its way out.
        tallies: how many `crashes`, `recycled` workers and `reloads` the supervisor has seen.

    Thread-safety: never changes after it was made.
    """

    def __cinit__(self):
        self.found = []
        self.spirals = POOLS

    cdef int add(self, int record, const Figures *figures, int64_t round_ns, bint gone) except -1:
        cdef int spiral, layer
        cdef int64_t connections = 0, in_flight = 0
        add_requests(&self.sum, figures)
        self.spirals = max(self.spirals, figures.spirals)
        for spiral in range(BUDGETS):
            add_budget(&self.sum.budgets[spiral], &figures.budgets[spiral])
        for spiral in range(figures.spirals):
            add_pool(&self.sum.pools[spiral], &figures.pools[spiral])
            if spiral < POOLS:
                connections += figures.pools[spiral].created - figures.pools[spiral].closed
        for spiral in range(METHODS):
            for layer in range(1, LAYERS + 1):
                self.sum.stages[spiral][layer] += figures.stages[spiral][layer]
                in_flight += figures.stages[spiral][layer]
        self.in_flight += in_flight
        if not gone:
            self.found.append({
                "worker": record,
                "number": figures.number,
                "pid": figures.pid,
                "state": STATE_NAMES[min(max(figures.state, <int64_t> FREE), <int64_t> ENDED)],
                "started": figures.started_ns / NS,
                "heartbeat": figures.heartbeat_ns / NS,
                "round_began": round_ns / NS if round_ns else None,
                "connections": connections,
                "turned_away": figures.turned_away,
                "in_flight": in_flight,
                "requests": figures.requests.requests,
                "errors": figures.requests.errors,
            })
        return 0

    @property
    def workers(self):
        """One dict for each worker: `worker` (its record), `number`, `pid`, `state`, `started` and `heartbeat` on the
        clock of ``time.monotonic()``, `round_began` (None while it waits for events), `connections`, `turned_away`,
        `in_flight`, `requests`, `errors`."""
        return list(self.found)

    def connections(self):
        """As `ConnectionPoolManifold.get_stats`, for all workers."""
        cdef int spiral
        cdef PoolFigures *pool
        cdef dict stats = {}
        for spiral in range(self.spirals):
            if POOLS <= spiral < SPIRALS:
                continue
            pool = &self.sum.pools[spiral]
            stats[f"spiral_{spiral}"] = {
                "total_connections": pool.created - pool.closed,
                "active_connections": pool.layers[3],
                "idle_connections": pool.layers[4],
                "total_created": pool.created,
                "total_closed": pool.closed,
                "total_refused": pool.refused,
                "total_requests": pool.requests,
                "bytes_in": pool.bytes_in,
                "bytes_out": pool.bytes_out,
            }
        return stats

    def requests(self):
        """As `RequestSubstrate.get_stats`, for all workers."""
        return request_stats(&self.sum.requests, self.in_flight)

    def budgets(self):
        """By ``memory`` and ``spool``: `limit`, `used`, `peak` (the sum of each worker's own), `holders`, and how many
        had to go for others (`ended`) or found no room (`refused`); of all workers."""
        cdef dict found = {}
        cdef BudgetFigures *figures
        cdef int at
        for at, name in enumerate(BUDGET_NAMES):
            figures = &self.sum.budgets[at]
            found[name] = {
                "limit": figures.limit, "used": figures.used, "peak": figures.peak, "holders": figures.holders,
                "ended": figures.ended, "refused": figures.refused,
            }
        return found

    def count_at(self, int spiral, int layer):
        """Connections in a cell; 0 for a coordinate that is none."""
        if not (0 <= spiral < self.spirals and 1 <= layer <= LAYERS):
            return 0
        return self.sum.pools[spiral].layers[layer]

    def stage_count(self, int method, int stage):
        """Requests in flight at ``(method, stage)``; 0 for a coordinate that is none."""
        if not (0 <= method < METHODS and 1 <= stage <= LAYERS):
            return 0
        return self.sum.stages[method][stage]

    def durations(self):
        """How many answers took how long, and all of them together.

        Returns:
            ``([(limit in seconds, answers that took less), ...], total seconds)``: limits double from 2**10
            nanoseconds on, the last one is infinite; counts include those before, so the last is all of them.
        """
        cdef int at
        cdef int64_t count = 0
        cdef list buckets = []
        for at in range(BUCKETS):
            count += self.sum.requests.buckets[at]
            limit = (<uint64_t> 1 << (FIRST_BUCKET_BITS + at)) / NS if at < BUCKETS - 1 else float("inf")
            buckets.append((limit, count))
        return buckets, self.sum.requests.time_ns / NS
