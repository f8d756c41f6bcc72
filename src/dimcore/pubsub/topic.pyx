"""Topics: one message to many WebSockets.

    publish -> encoded once -> the topic's queue -> after the round: batches -> every subscriber, a slice a round

A publish puts a frame into a queue and returns.  When the events of the round are
served, what was published to a topic meanwhile is joined to batches, and every
subscriber gets a batch with one send of the same bytes (`room.pyx`).  So a busy
topic costs one system call a subscriber and round, not one a message.

Ten thousand sends take tens of milliseconds.  They are made in slices with rounds
of the loop between them, so that nobody else waits longer than a slice.  A topic
keeps the order of its messages all the same: the next batch begins when the one
before is through.

A message that was compressed for many (`note.pyx`) moves the receiver's window
on without its own compressor's knowledge, whose distances would then point to the
wrong bytes.  So that one is begun anew (RFC 7692 7.2.3.2: nothing obliges a sender
to refer to what was).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t

from dimcore.budget cimport Budget, Holder
from dimcore.clock cimport monotonic_ns
from dimcore.conn.phase cimport CLOSE, GONE
from dimcore.limits cimport MIB
from dimcore.pubsub.note cimport NOTE_COST, whole_frame
from dimcore.ws.frames cimport OP_BINARY, OP_TEXT
from dimcore.ws.websocket cimport CLOSE_SENT

from collections import deque as _deque

from dimcore.errors import TopicLimit, UsageError

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    NAME_MOST = 255              # bytes of UTF-8: its length is one byte where workers tell each other


@cython.final
cdef class Topics(Hub):
    """The topics of one worker.

    Args:
        max_topics: topics that may have subscribers at a time.
        max_per_socket: topics one socket may be subscribed to.
        max_waiting: bytes of messages that may wait to be handed out; what is published beyond is dropped.
        slice_us: microseconds of sending before everybody else gets a turn.

    Attributes:
        subscriptions: how many there are.
        published, received: messages published here, and those that came from elsewhere.
        sent: messages handed to a subscriber, each counted for each.
        lost: messages a subscriber did not get because it reads too slowly.
        dropped: messages nobody got, since too much waited already.
        waiting: bytes that wait to be handed out.
        used: whether anybody has asked for a topic.

    Raises:
        UsageError: a limit below 1.

    Thread-safety: `publish` of a topic from any thread; all else from the loop's.
    """

    def __cinit__(self, *, int64_t max_topics=100000, int64_t max_per_socket=100, int64_t max_waiting=16 * MIB,
                  int64_t slice_us=100):
        self.rooms = {}
        self.work = _deque()
        self.handed = _deque()
        self.outlets = ()
        self.slice_ns = slice_us * 1000
        self.configure(max_topics=max_topics, max_per_socket=max_per_socket, max_waiting=max_waiting)

    def configure(self, *, int64_t max_topics, int64_t max_per_socket, int64_t max_waiting):
        """Set the limits; see the class."""
        if max_topics < 1 or max_per_socket < 1 or max_waiting < 1:
            raise UsageError(f"max_topics {max_topics}, max_per_socket {max_per_socket}, max_waiting {max_waiting}: "
                             "each must be 1 or more")
        self.max_topics = max_topics
        self.max_per_socket = max_per_socket
        self.max_waiting = max_waiting

    def attach(self, *, soon, from_thread, report, first=None, Budget budget=None):
        """Connect with the loop, whose thread this is.

        Args:
            soon: called with a function that is to be called when the events at hand are served.
            from_thread: the same, from another thread.
            report: called with a message and an exception.
            first: called, on whichever thread it happens, when somebody asks for a topic and nobody has before.
            budget: what the messages that wait are counted in.  Where it has no room they are dropped, one alone apart.
        """
        self.soon = soon
        self.from_thread = from_thread
        self.report = report
        self.first = first
        self.holder = None if budget is None else Holder(budget)
        self.thread = PyThread_get_thread_ident()
        self.scheduled = False

    def detach(self):
        """The loop is no more: what waits is dropped, and whatever is published."""
        cdef Room room
        self.thread = 0
        self.soon = self.from_thread = self.report = self.first = None
        self.outlets = ()
        self.handed.clear()
        self.work.clear()
        for room in list(self.rooms.values()):   # the end of a message may be that of a socket, which leaves its topics
            room.discard()
            room.busy = False
        self.waiting = 0
        self.holder = None

    def add_outlet(self, outlet):
        """Have each message that is published here given away as well.

        Args:
            outlet: called with (name, whether it is text, payload as `bytes`), on the loop's thread.
        """
        self.outlets += (outlet,)

    def topic(self, str name not None):
        """The topic of that name; nothing is kept of it while nobody is subscribed.

        Raises:
            UsageError: see `Topic`.
        """
        return Topic.__new__(Topic, self, name)

    def deliver(self, str name not None, bint text, bytes payload not None):
        """Hand out a message that was published elsewhere: to the subscribers here, and to nobody else.

        Returns:
            False when it was dropped.
        """
        cdef Note note
        cdef Room room = <Room> self.rooms.get(name)
        self.received += 1
        if room is None:
            return True
        note = Note.__new__(Note)
        note.opcode = OP_TEXT if text else OP_BINARY
        note.frame = whole_frame(note.opcode, False, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        note.head_size = <int> (PyBytes_GET_SIZE(note.frame) - PyBytes_GET_SIZE(payload))
        if not self.admit(note):
            return False
        self.put(room, note)
        return True

    def run(self):
        """Hand out for the time of a slice; the loop calls it."""
        cdef Room room
        cdef int64_t deadline
        cdef bint done
        self.scheduled = False
        deadline = monotonic_ns() + self.slice_ns
        while self.work:
            room = <Room> self.work[0]
            self.work.popleft()
            try:
                done = room.advance(deadline)
            except Exception as error:   # no memory, as a rule: these messages are lost, those of other topics are not
                self.tell(error)
                self.dropped += room.discard()
                done = True
            if done:
                room.busy = False
                continue
            self.work.append(room)       # the other topics get a turn, too
            self.schedule()
            return

    cdef int check_thread(self) except -1:
        if self.thread and PyThread_get_thread_ident() != self.thread:
            raise UsageError("subscriptions are for the loop's thread alone; from another one there is "
                             "ws.call_from_thread(topic.subscribe, ws)")
        return 0

    def take_handed(self):
        """Take over what other threads have published; the loop calls it."""
        cdef Note note
        while self.handed:
            note = <Note> self.handed.popleft()
            try:
                self.spread(note.name, note)
            except Exception as error:
                self.tell(error)

    def counts(self):
        """Topics with subscribers, and for each how many; a dict of name to number."""
        return {name: len((<Room> room).members) for name, room in self.rooms.items()}

    @property
    def active(self):
        """Topics that have subscribers."""
        return len(self.rooms)

    cdef Note encode(self, object message, WebSocket excluded):
        cdef Note note = Note.__new__(Note)
        cdef Py_ssize_t size = 0
        cdef const char *data
        note.opcode = OP_BINARY
        if isinstance(message, str):
            note.opcode = OP_TEXT
            data = PyUnicode_AsUTF8AndSize(message, &size)
        elif isinstance(message, (bytes, bytearray, memoryview)):
            if type(message) is not bytes:
                message = memoryview(message).tobytes()
            data = PyBytes_AS_STRING(message)
            size = PyBytes_GET_SIZE(message)
        else:
            raise UsageError(f"a message must be str, bytes, bytearray or memoryview, not {type(message).__name__}")
        if size > self.max_waiting:
            raise UsageError(f"a message of {size} bytes: at most {self.max_waiting} may wait (topic-buffer)")
        note.frame = whole_frame(note.opcode, False, data, size)
        note.head_size = <int> (PyBytes_GET_SIZE(note.frame) - size)
        note.excluded = excluded
        return note

    cdef bint admit(self, Note note) except -1:
        """Whether there is room for one more message; counts it."""
        cdef int64_t size = PyBytes_GET_SIZE(note.frame) + NOTE_COST
        # One alone always fits: the limit is looked at before it was made.
        if self.waiting and self.waiting + size > self.max_waiting:
            self.dropped += 1
            return False
        if not self.wait_for(size) and self.waiting > size:
            self.wait_for(-size)
            self.dropped += 1
            return False
        return True

    cdef int spread(self, str name, Note note) except -1:
        """On the loop's thread: to the subscribers here, and to whoever carries it further."""
        cdef Room room = <Room> self.rooms.get(name)
        if room is None:
            self.wait_for(-(PyBytes_GET_SIZE(note.frame) + NOTE_COST))
        else:
            self.put(room, note)
        if self.outlets:
            payload = note.payload()
            for outlet in self.outlets:
                outlet(name, note.opcode == OP_TEXT, payload)
        return 0

    cdef int put(self, Room room, Note note) except -1:
        """Queue a message for those in a room."""
        room.queue.append(note)
        room.published += 1
        if not room.busy:
            room.busy = True
            self.work.append(room)
        return self.schedule()

    cdef int schedule(self) except -1:
        if not self.scheduled and self.soon is not None:
            self.scheduled = True
            self.soon(self.run)
        return 0

    cdef int leave(self, Member member) except -1:
        """Undo a subscription."""
        cdef Room room = member.room
        cdef WebSocket socket = member.socket
        cdef Member other
        if socket is None:
            return 0
        other = <Member> socket.joined
        if other is member:
            socket.joined = member.also
        else:
            while other.also is not member:
                other = other.also
            other.also = member.also
        room.unlink(member)
        member.also = None
        member.room = None
        member.socket = None
        self.subscriptions -= 1
        if not room.members:
            # What waits is for nobody any more; who subscribes later gets later messages.
            room.discard_queue()
            del self.rooms[room.name]
        return 0

    cdef void tell(self, object error) noexcept:
        if self.report is not None:
            self.report("a message of a topic could not be handed out", error)


cdef WebSocket _socket(object ws):
    # What a coroutine is given has the socket in it.
    if type(ws) is not WebSocket:
        ws = getattr(ws, "socket", None)
        if type(ws) is not WebSocket:
            raise UsageError("only a WebSocket can be subscribed to a topic")
    return <WebSocket> ws


@cython.final
cdef class Topic:
    """One topic: who is subscribed to it gets what is published to it, at most once.

    Args:
        topics: where it belongs.
        name: 1 to 255 bytes of UTF-8 without control characters.

    Raises:
        UsageError: another name.

    ``len`` is the number of subscribers in this worker.  Two of the same name are equal, and are the same topic.

    Thread-safety: `publish` from any thread; all else from the loop's.
    """

    def __cinit__(self, Topics topics not None, str name not None):
        cdef Py_ssize_t size = 0
        cdef const char *text
        cdef Py_ssize_t at
        try:
            text = PyUnicode_AsUTF8AndSize(name, &size)
        except UnicodeEncodeError:
            raise UsageError(f"{name!r:.80} is no name for a topic: it has half a surrogate pair") from None
        if not 1 <= size <= NAME_MOST:
            raise UsageError(f"the name of a topic has 1 to {NAME_MOST} bytes of UTF-8, {name!r:.80} has {size}")
        for at in range(size):
            if 0 <= text[at] < 0x20 or text[at] == 0x7F:
                raise UsageError(f"{name!r:.80} is no name for a topic: it has control characters")
        self.topics = topics
        self.name = name
        if not topics.used:
            topics.used = True
            if topics.first is not None:
                topics.first()

    def subscribe(self, ws):
        """Have a socket get what is published from now on, until it closes.

        Args:
            ws: what its handler was given.

        Returns:
            False when it is subscribed already, or not open any more.

        Raises:
            TopicLimit: it is subscribed to `topics-per-socket` topics, or there are `max-topics` already.
            UsageError: it is no WebSocket, or this is another thread than the loop's.
        """
        cdef WebSocket socket = _socket(ws)
        cdef Topics hub = self.topics
        cdef Room room, spare = None
        cdef Member member, other
        cdef int64_t number = 0
        hub.check_thread()
        # First all that is made: the collector may run then, and with it code that subscribes or closes sockets here.
        # What is looked up from there on stays as it was found.
        member = Member.__new__(Member)
        if self.name not in hub.rooms:
            spare = Room.__new__(Room, hub, self.name)
        room = <Room> hub.rooms.get(self.name)
        if socket.flags & CLOSE_SENT or socket.connection.state & (GONE | CLOSE):
            return False
        if room is not None and socket in room.members:
            return False
        other = <Member> socket.joined
        while other is not None:
            number += 1
            other = other.also
        if number >= hub.max_per_socket:
            raise TopicLimit(f"a socket may be subscribed to {hub.max_per_socket} topics (topics-per-socket)")
        if room is None:
            if len(hub.rooms) >= hub.max_topics:
                raise TopicLimit(f"{hub.max_topics} topics have subscribers already (max-topics)")
            room = spare if spare is not None else Room.__new__(Room, hub, self.name)
            room = <Room> hub.rooms.setdefault(self.name, room)
        member.socket = socket
        member.room = room
        room.link(member)
        member.also = <Member> socket.joined
        socket.joined = member
        hub.subscriptions += 1
        return True

    def unsubscribe(self, ws):
        """Have a socket get nothing more; what is on its way to it still comes.

        Returns:
            False when it was not subscribed.

        Raises:
            UsageError: as `subscribe`.
        """
        cdef Room room = <Room> self.topics.rooms.get(self.name)
        cdef Member member
        self.topics.check_thread()
        if room is None:
            return False
        member = <Member> room.members.get(_socket(ws))
        if member is None:
            return False
        self.topics.leave(member)
        return True

    def publish(self, message, *, exclude=None):
        """Send a message to everybody who is subscribed, here and wherever else the topic reaches; never waits.

        Args:
            message: `str` is text, bytes-like is binary.
            exclude: a socket that does not get it, as a rule the one it came from.

        Returns:
            False when it was dropped: `topic-buffer` bytes wait already, or nothing is served.  True says nothing
            about who gets it.

        Raises:
            UsageError: neither text nor bytes, or longer than `topic-buffer`.
            UnicodeEncodeError: text with half a surrogate pair.
        """
        cdef Topics hub = self.topics
        cdef WebSocket excluded = None if exclude is None else _socket(exclude)
        cdef Note note = hub.encode(message, excluded)
        if hub.thread == 0:
            hub.dropped += 1
            return False
        if not hub.admit(note):
            return False
        hub.published += 1
        if PyThread_get_thread_ident() == hub.thread:
            hub.spread(self.name, note)
        else:
            note.name = self.name
            hub.handed.append(note)
            hub.from_thread(hub.take_handed)
        return True

    @property
    def subscribers(self):
        """The sockets that are subscribed in this worker, in the order they came; a new list."""
        cdef Room room = <Room> self.topics.rooms.get(self.name)
        return [] if room is None else list(room.members)

    def __len__(self):
        cdef Room room = <Room> self.topics.rooms.get(self.name)
        return 0 if room is None else len(room.members)

    def __bool__(self):
        return True

    def __contains__(self, ws):
        cdef Room room = <Room> self.topics.rooms.get(self.name)
        return room is not None and _socket(ws) in room.members

    def __eq__(self, other):
        return type(other) is Topic and (<Topic> other).topics is self.topics and (<Topic> other).name == self.name

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return f"<Topic {self.name!r}, {len(self)} subscribers here>"
