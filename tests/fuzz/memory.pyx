"""Connections in memory: a transport for the core, the loop that drives it, and the client at the other end.

A socket costs system calls, and its kernel decides how much is taken at a time.  Here the input decides: how many
bytes a call moves, which calls find nothing to do, how much the client takes before it reads, and at which call it
leaves.

Where the build has AddressSanitizer, what lies behind the bytes of the last `read` is poisoned, and all of that buffer
once the client has its turn: a span into it that outlives its event is seen at its first use.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

from dimcore.conn.core cimport Site
from dimcore.net.socket_io cimport STREAM_AGAIN, STREAM_BROKEN, Peer as Address, Transport, iovec

cdef extern from *:
    """
    #include <unistd.h>
    #if defined(__has_feature)
    #if __has_feature(address_sanitizer)
    #include <sanitizer/asan_interface.h>
    #define dim_poison(at, size) __asan_poison_memory_region((at), (size))
    #define dim_unpoison(at, size) __asan_unpoison_memory_region((at), (size))
    #endif
    #endif
    #ifndef dim_poison
    #define dim_poison(at, size) ((void)(at), (void)(size))
    #define dim_unpoison(at, size) ((void)(at), (void)(size))
    #endif
    """
    void dim_poison(void *at, size_t size) noexcept nogil
    void dim_unpoison(void *at, size_t size) noexcept nogil
    ssize_t pread(int file, void *data, size_t size, int64_t offset) noexcept nogil

cdef enum:
    ENDS = 16                    # connections at a time
    FIRST = 1 << 24              # of their numbers, which are no descriptors
    MOST_TURNS = 20000           # of the loop for one conversation: more are a loop that spins

cdef enum Leaving:
    STAYS
    CLOSED                       # reads give what was sent, then the end; the first write is taken, then all is broken
    RESET                        # nothing works any more


cdef struct Bytes:
    char *data
    size_t start
    size_t size
    size_t room


cdef struct End:
    bint open                    # for the server
    bint held                    # by the client
    Bytes sent                   # by the client, from `start` on not read yet
    Bytes got                    # by the client
    size_t unread                # of `got`, since the client last read
    bint finished                # the client sends no more
    bint ended                   # the server sends no more
    bint aborted
    Leaving left
    # how the peer behaves
    size_t read_most             # bytes a call moves
    size_t write_most
    int read_pause               # each so many calls find nothing to do; 0: none
    int write_pause
    size_t window                # bytes that are taken before the client reads; 0: any number
    int leave_at                 # the call before which the client leaves; 0: none
    Leaving leave_how
    int reads
    int writes
    int calls
    # the loop
    int watched                  # 0: hang-ups alone; -1: not at all
    PyObject *call


cdef End ends[ENDS]
memset(ends, 0, sizeof(ends))
cdef int arriving = -1
cdef int turns = 0
cdef char *read_into = NULL      # the buffer of the last read
cdef size_t read_room = 0


cdef int put(Bytes *bytes_, const char *data, size_t size) noexcept nogil:
    cdef char *grown
    if bytes_.size + size > bytes_.room:
        grown = <char *> realloc(bytes_.data, (bytes_.size + size) * 2)
        if grown == NULL:
            return -1
        bytes_.data = grown
        bytes_.room = (bytes_.size + size) * 2
    if data != NULL and size:
        memcpy(bytes_.data + bytes_.size, data, size)
        bytes_.size += size
    return 0


cdef End *end_of(int number) noexcept nogil:
    """NULL for a number that is closed: as a descriptor, it can be used by mistake."""
    if number < FIRST or number >= FIRST + ENDS or not ends[number - FIRST].open:
        return NULL
    return &ends[number - FIRST]


cdef bint happens(End *end, int *count, int pause) noexcept nogil:
    """One more call; whether it finds anything to do."""
    end.calls += 1
    if end.calls == end.leave_at and end.left == STAYS:
        end.left = end.leave_how
    count[0] += 1
    return pause == 0 or count[0] % pause != 0


# --- the transport ------------------------------------------------------------------------------

cdef int _accept(int listener, Address *peer) noexcept nogil:
    global arriving
    cdef int number = arriving
    if number < 0:
        return STREAM_AGAIN
    arriving = -1
    memset(peer, 0, sizeof(Address))
    peer.family = 4
    peer.port = 40000
    peer.address[0] = 127
    peer.address[3] = 1
    return number


cdef Py_ssize_t _read(int number, char *data, size_t room) noexcept nogil:
    global read_into, read_room
    cdef End *end = end_of(number)
    cdef size_t size
    if end == NULL:
        return STREAM_BROKEN
    dim_unpoison(data, room)
    read_into = data
    read_room = room
    if not happens(end, &end.reads, end.read_pause):
        return STREAM_AGAIN
    if end.left == RESET:
        return STREAM_BROKEN
    size = min(room, min(end.sent.size - end.sent.start, end.read_most))
    if size == 0:
        return 0 if end.finished or end.left == CLOSED else STREAM_AGAIN
    memcpy(data, end.sent.data + end.sent.start, size)
    end.sent.start += size
    dim_poison(data + size, room - size)
    return <Py_ssize_t> size


cdef Py_ssize_t _room(End *end, size_t size) noexcept nogil:
    """How much of `size` a write takes."""
    if end == NULL:
        return STREAM_BROKEN
    if not happens(end, &end.writes, end.write_pause):
        return STREAM_AGAIN
    if end.left == RESET or end.ended:
        return STREAM_BROKEN
    if end.left == CLOSED:
        end.left = RESET
        return <Py_ssize_t> size
    size = min(size, end.write_most)
    if end.window:
        size = min(size, end.window - min(end.unread, end.window))
    return <Py_ssize_t> size if size else STREAM_AGAIN


cdef Py_ssize_t _take(End *end, const char *data, Py_ssize_t size) noexcept nogil:
    if put(&end.got, data, size) < 0:
        return STREAM_BROKEN
    end.unread += size
    return size


cdef Py_ssize_t _write(int number, const char *data, size_t size, bint more) noexcept nogil:
    cdef End *end = end_of(number)
    cdef Py_ssize_t taken = 0 if size == 0 else _room(end, size)
    return _take(end, data, taken) if taken > 0 else taken


cdef Py_ssize_t _write_pieces(int number, const iovec *pieces, size_t count) noexcept nogil:
    cdef End *end = end_of(number)
    cdef size_t total = 0, i, size
    cdef Py_ssize_t left, taken
    for i in range(count):
        total += pieces[i].iov_len
    taken = 0 if total == 0 else _room(end, total)
    left = taken
    i = 0
    while left > 0:
        size = min(<size_t> left, pieces[i].iov_len)
        if _take(end, <const char *> pieces[i].iov_base, size) < 0:
            return STREAM_BROKEN
        left -= size
        i += 1
    return taken


cdef Py_ssize_t _write_file(int number, int file, int64_t offset, size_t size) noexcept nogil:
    cdef End *end = end_of(number)
    cdef Py_ssize_t taken = _room(end, size)
    if taken <= 0:
        return taken
    if put(&end.got, NULL, taken) < 0:
        return STREAM_BROKEN
    taken = pread(file, end.got.data + end.got.size, taken, offset)
    if taken > 0:
        end.got.size += taken
        end.unread += taken
    return taken if taken >= 0 else STREAM_BROKEN


cdef void _cork(int number, bint on) noexcept nogil:
    pass


cdef int64_t _unsent(int number) noexcept nogil:
    cdef End *end = end_of(number)
    return 0 if end == NULL else <int64_t> end.unread


cdef void _close_write(int number) noexcept nogil:
    cdef End *end = end_of(number)
    if end != NULL:
        end.ended = True


cdef void _abort(int number) noexcept nogil:
    cdef End *end = end_of(number)
    if end != NULL:
        end.aborted = True


cdef void _close(int number) noexcept nogil:
    cdef End *end = end_of(number)
    if end != NULL:
        end.ended = True
        end.open = False


cdef Transport MEMORY
MEMORY.accept = _accept
MEMORY.read = _read
MEMORY.write = _write
MEMORY.write_pieces = _write_pieces
MEMORY.write_file = _write_file
MEMORY.cork = _cork
MEMORY.unsent = _unsent
MEMORY.close_write = _close_write
MEMORY.abort = _abort
MEMORY.close = _close


def use(Site site):
    """Have the connections of a site made here."""
    site.transport = &MEMORY


# --- the loop -----------------------------------------------------------------------------------

cdef End *watched_end(int number) except NULL:
    if number < FIRST or number >= FIRST + ENDS:
        raise KeyError(number)
    return &ends[number - FIRST]


def register(int number, int events, call):
    cdef End *end = watched_end(number)
    if end.call != NULL:
        raise KeyError(f"{number} is watched already")
    Py_INCREF(call)
    end.call = <PyObject *> call
    end.watched = events


def modify(int number, int events, call):
    cdef End *end = watched_end(number)
    if end.call == NULL:
        raise KeyError(f"{number} is not watched")
    end.watched = events


def mute(int number):
    cdef End *end = watched_end(number)
    if end.call == NULL:
        raise KeyError(f"{number} is not watched")
    end.watched = 0


def unregister(int number):
    cdef End *end = watched_end(number)
    cdef PyObject *call = end.call
    if call == NULL:
        raise KeyError(f"{number} is not watched")
    end.call = NULL
    end.watched = -1
    Py_XDECREF(call)


def calls():
    """What is watched."""
    return [<object> ends[i].call for i in range(ENDS) if ends[i].call != NULL]


cdef int mask_of(const End *end) noexcept nogil:
    cdef int mask = 0
    if end.left == RESET or (end.finished or end.left == CLOSED) and end.ended:
        return 3
    if end.watched & 1 and (end.sent.size > end.sent.start or end.finished or end.left == CLOSED):
        mask |= 1
    if end.watched & 2 and (end.window == 0 or end.unread < end.window):
        mask |= 2
    return mask


cpdef bint turn() except -1:
    """Rounds of the loop until there is nothing to do; whether there was.

    Raises:
        AssertionError: there always is.
    """
    global turns
    cdef bint busy = True, any_ = False
    cdef int i, mask
    while busy:
        busy = False
        for i in range(ENDS):
            if ends[i].call == NULL:
                continue
            mask = mask_of(&ends[i])
            if mask:
                busy = any_ = True
                turns += 1
                if turns > MOST_TURNS:
                    raise AssertionError("the loop spins")
                call = <object> ends[i].call
                call(mask)
        forget_input()
    return any_


def forget_input():
    """Nobody is served: nothing may be read from the buffer of the last `read` any more."""
    global read_into
    if read_into != NULL:
        dim_poison(read_into, read_room)
        read_into = NULL


def remember_input(Site site):
    """Before the memory is given back."""
    dim_unpoison(site.core.scratch.inbuf, 65536)


# --- the client ---------------------------------------------------------------------------------

cdef class MemoryClient:
    """The other end of a new connection.

    Args:
        accept: has the server accept it.
        read_most, write_most: bytes a call of the server's moves at most.
        read_pause, write_pause: each so many calls find nothing to do; 0: none.
        window: bytes that are taken before `receive`; 0: any number.
        leave_at: the call before which the client leaves; 0: none.
        reset: it leaves without a goodbye.
    """

    cdef End *end
    cdef readonly bint ended

    def __cinit__(self, accept, size_t read_most=1 << 30, size_t write_most=1 << 30, int read_pause=0,
                  int write_pause=0, size_t window=0, int leave_at=0, bint reset=False):
        global arriving, turns
        cdef int i
        cdef Bytes sent, got
        for i in range(ENDS):
            if not ends[i].open and not ends[i].held:
                break
        else:
            raise AssertionError("too many connections")
        self.end = &ends[i]
        sent = self.end.sent             # their memory serves again
        got = self.end.got
        sent.start = sent.size = got.start = got.size = 0
        memset(self.end, 0, sizeof(End))
        self.end.sent = sent
        self.end.got = got
        self.end.open = self.end.held = True
        self.end.watched = -1
        self.end.read_most = read_most
        self.end.write_most = write_most
        self.end.read_pause = read_pause
        self.end.write_pause = write_pause
        self.end.window = window
        self.end.leave_at = leave_at
        self.end.leave_how = RESET if reset else CLOSED
        turns = 0
        arriving = FIRST + i
        accept(1)

    @property
    def received(self):
        """All that came."""
        return PyBytes_FromStringAndSize(self.end.got.data, self.end.got.size)

    @property
    def left(self):
        """Whether it left before it was told to."""
        return self.end.left != STAYS

    def receive(self):
        """Take what is there; whether it was anything, the end too."""
        cdef bint anything = self.end.unread > 0 or self.end.ended and not self.ended
        self.end.unread = 0
        if self.end.ended:
            self.ended = True
        return anything

    def send(self, bytes data):
        """Whether there is somebody to send it to."""
        if not self.end.open or self.end.left != STAYS:
            return False
        if put(&self.end.sent, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)) < 0:
            raise MemoryError
        return True

    def finish(self):
        """Nothing more is sent."""
        self.end.finished = True

    def leave(self, bint reset=True):
        """Close; nothing is asked of this object after that."""
        self.end.held = False
        if self.end.left == STAYS:
            self.end.left = RESET if reset else CLOSED
        self.ended = True
