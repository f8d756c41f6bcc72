"""A bound on what all peers together make a worker hold, in bytes of memory or of disk.

Whoever holds bytes for a peer has a `Holding` here: what it holds, since when, and
until when its peer has kept its rate.  Holders stand in one list for each number of
bits their bytes have, in the order they came into it:

    order 17, 64 to 128 KiB   first ──► Holding ◄──► Holding ◄── last
    order 18, 128 to 256 KiB  first ──► Holding ◄── last

A part of the bytes is reserved for holders below 64 KiB, so that those who hold much
cannot shut out those who hold little.  When the rest is spent, the holder with the
most bytes times seconds whose peer is below its rate ends, and so on until there is
room; where there is none such, the one that has just grown is refused.  A holder
whose peer keeps its rate is never ended.

The choice looks at the first few of each list only, so it is bounded however many
there are; whoever is found to keep its rate goes to the end of its list, and its
time begins anew.

Growing never runs anybody's code.  A holder that is to go is *condemned*: its bytes
count as free from then on, and it ends in `relieve`, which is called when nothing
else is being served.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from dimcore.clock cimport monotonic_ns

from dimcore.errors import UsageError

cdef extern from * nogil:
    """
    static inline int dimcore_bits(long long value) {
        return value > 0 ? 64 - __builtin_clzll((unsigned long long)value) : 0;
    }
    """
    int bits_of "dimcore_bits"(int64_t value) noexcept

cdef enum:
    FIRST_LOOKS = 16         # holders of each list that are compared in one choice
    MOST_LOOKS = 1024        # in all for one newcomer: some 20 to 300 ns each
    LARGE_ORDER = 17         # bits of LARGE_BYTES

cdef int64_t MOST_BYTES = 0x0fffffffffffffff
cdef double NS = 1e9


cdef void pay(Holding *holding, int64_t moved, int64_t rate, int64_t credit_ns, int64_t now_ns) noexcept:
    cdef double paid
    if moved <= holding.moved:
        return
    paid = <double> (moved - holding.moved) / <double> max(rate, <int64_t> 1) * NS
    holding.moved = moved
    if paid >= <double> (now_ns + credit_ns - holding.kept_until_ns):
        holding.kept_until_ns = max(holding.kept_until_ns, now_ns + credit_ns)
    else:
        holding.kept_until_ns += <int64_t> paid


@cython.final
cdef class Budget:
    """Bytes that may be held at a time.

    Args:
        limit: how many.
        reserved: of these, for holders below 64 KiB; a quarter when None.

    Raises:
        UsageError: a number out of range.

    Thread-safety: the loop's thread.
    """

    def __cinit__(self, limit=1 << 30, reserved=None):
        self.alarm = &self.own_alarm
        self.resize(limit, reserved)

    def __dealloc__(self):
        cdef int key
        for key in range(self.room):
            PyMem_Free(self.table[key])
        PyMem_Free(self.table)

    def resize(self, limit, reserved=None):
        """Set the bytes there are; holders that are there stay.

        Raises:
            UsageError: a number out of range.
        """
        cdef int64_t least
        if not 1 <= limit <= MOST_BYTES:
            raise UsageError(f"a budget has 1 to {MOST_BYTES} bytes, not {limit}")
        least = limit // 4 if reserved is None else reserved
        if not 0 <= least <= limit:
            raise UsageError(f"of {limit} bytes 0 to {limit} can be reserved, not {reserved}")
        self.limit = limit
        self.reserved = least

    def figures(self):
        """`limit`, `used`, `peak`, `holders`, `ended` and `refused` as a dict."""
        return {
            "limit": self.limit, "used": self.used, "peak": self.peak, "holders": self.holders,
            "ended": self.ended, "refused": self.refused,
        }

    def settle(self):
        """End those that are condemned; not while one of them is being served."""
        self.relieve(monotonic_ns())

    # --- holding --------------------------------------------------------------------------------

    cdef bint change(self, Holding *holding, int64_t bytes, int64_t now_ns) noexcept:
        """It holds so many bytes from now on; False where there is no room for them.

        They are counted all the same, since they are there: whoever is told False gives them back.
        """
        cdef int64_t before = holding.bytes
        cdef int64_t large = bytes if bytes >= LARGE_BYTES else 0
        cdef int order = bits_of(bytes)
        if bytes == before:
            return True
        if before >= LARGE_BYTES:
            large -= before
        self.used += bytes - before
        self.large += large
        self.peak = max(self.peak, self.used)
        holding.bytes = bytes
        if holding.condemned:            # it goes as it is
            self.leaving += bytes - before
            self.leaving_large += large
            if bytes == 0:
                pull(&self.condemned, holding)
                holding.condemned = False
                self.holders -= 1
            return True
        if before == 0:
            holding.since_ns = now_ns
            self.holders += 1
        elif order != holding.order or bytes == 0:
            pull(&self.rows[holding.order], holding)
        if bytes == 0:
            self.holders -= 1
        elif before == 0 or order != holding.order:
            holding.order = <uint8_t> order
            push(&self.rows[order], holding)
        if bytes < before or self.fits(bytes >= LARGE_BYTES) or self.make_room(holding, now_ns):
            return True
        self.refused += 1
        return False

    cdef void release(self, Holding *holding) noexcept:
        """It holds nothing any more."""
        self.change(holding, 0, 0)

    cdef bint fits(self, bint large) noexcept:
        """Whether all there is has room, once the condemned are gone; `large`: the large holders in their part, too."""
        if large and self.large - self.leaving_large > self.limit - self.reserved:
            return False
        return self.used - self.leaving <= self.limit

    cdef bint has_room(self, int64_t bytes, bint large) noexcept:
        """Whether so much more fits as it is, without anybody's end."""
        if large and self.large + bytes > self.limit - self.reserved:
            return False
        return self.used + bytes <= self.limit

    # --- holders known by a number --------------------------------------------------------------

    cdef Holding *at(self, int key) noexcept:
        return self.table[key] if 0 <= key < self.room else NULL

    cdef Holding *hold_at(self, int key, void *owner, const Kind *kind) noexcept:
        """The holding under a number, made if there is none; NULL without memory for it."""
        cdef Holding *holding = self.at(key)
        cdef Holding **table
        cdef int room
        if holding != NULL:
            return holding
        if key >= self.room:
            room = max(key + 1, self.room * 2)
            table = <Holding **> PyMem_Realloc(self.table, <size_t> room * sizeof(Holding *))
            if table == NULL:
                return NULL
            memset(table + self.room, 0, <size_t> (room - self.room) * sizeof(Holding *))
            self.table = table
            self.room = room
        holding = <Holding *> PyMem_Calloc(1, sizeof(Holding))
        if holding != NULL:
            holding.owner = owner
            holding.kind = kind
            self.table[key] = holding
        return holding

    cdef void release_at(self, int key) noexcept:
        """Release what is held under a number, if there is something."""
        cdef Holding *holding = self.at(key)
        if holding != NULL:
            self.release(holding)
            self.table[key] = NULL
            PyMem_Free(holding)

    # --- who has to go --------------------------------------------------------------------------

    cdef bint make_room(self, Holding *newcomer, int64_t now_ns) noexcept:
        """Condemn holders until what `newcomer` has grown by fits; whether that could be done."""
        cdef bint large = newcomer.bytes >= LARGE_BYTES
        cdef bint others
        cdef Holding *chosen
        cdef int looks = 0
        while not self.fits(large):
            # Where it is the large ones that have too much, the end of small ones would not help.
            others = self.used - self.leaving > self.limit
            chosen = self.choose(newcomer, large and not others, now_ns, &looks)
            if chosen == NULL:
                return False
            self.condemn(chosen)
        return True

    cdef Holding *choose(self, Holding *newcomer, bint large, int64_t now_ns, int *looks) noexcept:
        """The one with the most byte-seconds among those below their rate, or NULL; `large`: of the large ones."""
        cdef Holding *best
        cdef Holding *at
        cdef Holding *following
        cdef double weight, most
        cdef int order, seen
        cdef bint renewed
        while True:
            best = NULL
            most = -1.0
            renewed = False
            for order in range(ORDERS - 1, LARGE_ORDER - 1 if large else 0, -1):
                at = self.rows[order].first
                seen = 0
                while at != NULL and seen < FIRST_LOOKS:
                    following = at.after
                    weight = <double> at.bytes * <double> (now_ns - at.since_ns)
                    seen += 1
                    if at != newcomer and weight > most:
                        looks[0] += 1
                        if at.kind.lags(at, now_ns):
                            best = at
                            most = weight
                        elif at != self.rows[order].last and at.since_ns != now_ns:
                            # It keeps its rate: its time begins anew, and others get their turn to be looked at.
                            at.since_ns = now_ns
                            pull(&self.rows[order], at)
                            push(&self.rows[order], at)
                            renewed = True
                    at = following
            if best != NULL or not renewed or looks[0] >= MOST_LOOKS:
                return best

    cdef void condemn(self, Holding *holding) noexcept:
        pull(&self.rows[holding.order], holding)
        push(&self.condemned, holding)
        holding.condemned = True
        self.leaving += holding.bytes
        if holding.bytes >= LARGE_BYTES:
            self.leaving_large += holding.bytes
        self.alarm[0] = True

    cdef void relieve(self, int64_t now_ns) noexcept:
        """End the condemned, each once.  One that keeps its rate by now, where there is room for it, stays."""
        cdef Holding *holding
        cdef Holding *last = self.condemned.last
        cdef bint done = last == NULL
        self.own_alarm = False
        while not done and self.condemned.first != NULL:
            holding = self.condemned.first
            done = holding == last
            # Back to the others first: its end may run any code, and it is found where it stands.
            pull(&self.condemned, holding)
            push(&self.rows[holding.order], holding)
            holding.condemned = False
            self.leaving -= holding.bytes
            if holding.bytes >= LARGE_BYTES:
                self.leaving_large -= holding.bytes
            if self.fits(holding.bytes >= LARGE_BYTES) and not holding.kind.lags(holding, now_ns):
                continue
            self.ended += 1
            holding.kind.end(holding)


cdef void push(Row *row, Holding *holding) noexcept nogil:
    holding.after = NULL
    holding.before = row.last
    if row.last == NULL:
        row.first = holding
    else:
        row.last.after = holding
    row.last = holding


cdef void pull(Row *row, Holding *holding) noexcept nogil:
    if holding.before == NULL:
        row.first = holding.after
    else:
        holding.before.after = holding.after
    if holding.after == NULL:
        row.last = holding.before
    else:
        holding.after.before = holding.before


cdef bint _holder_lags(Holding *holding, int64_t now_ns) noexcept:
    return (<Holder> holding.owner).lags and (<Holder> holding.owner).end is not None


cdef void _holder_ends(Holding *holding) noexcept:
    cdef Holder holder = <Holder> holding.owner
    try:
        holder.end()
    finally:
        holder.budget.release(holding)


cdef Kind HOLDER
HOLDER.lags = _holder_lags
HOLDER.end = _holder_ends


@cython.final
@cython.no_gc_clear
cdef class Holder:
    """What holds bytes of a budget and is no connection.

    Args:
        budget: whose bytes.
        end: called without arguments when it has to go for others, in `Budget.settle`; what it holds counts as
            released after that.  None: it never has to.

    Attributes:
        lags: whether the one it holds them for is below its rate; False at first.

    Thread-safety: the loop's thread.
    """

    def __cinit__(self, Budget budget not None, end=None):
        self.budget = budget
        self.end = end
        self.holding.kind = &HOLDER
        self.holding.owner = <void *> self

    def __dealloc__(self):
        if self.budget is not None:
            self.budget.release(&self.holding)

    @property
    def bytes(self):
        """What it holds."""
        return self.holding.bytes

    def hold(self, int64_t size):
        """Hold so many bytes from now on.

        Returns:
            False where there is no room for them.  They are counted nevertheless: give them back.

        Raises:
            UsageError: a negative number, or more than a budget can have.
        """
        if not 0 <= size <= MOST_BYTES:
            raise UsageError(f"0 to {MOST_BYTES} bytes can be held, not {size}")
        return self.budget.change(&self.holding, size, monotonic_ns())
