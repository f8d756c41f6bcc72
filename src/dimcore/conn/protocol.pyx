"""What a connection may be upgraded to, and what makes it: interfaces, of which `ws/` implements the first.

    101 is agreed on -> ProtocolFactory.open -> opened -> take, take, ... -> gone

A connection in the phase *upgraded* gives its protocol every byte it receives, asks
it what the loop is to watch, and has it judge whether the peer is alive.  What the
protocol sends goes out through the exchange it was opened with.
"""

from dimcore.errors import UsageError


cdef class Protocol:
    """Not for use by itself.  Every method is called on the loop's thread."""

    cdef int opened(self) except -1:
        """The answer that agrees to it is written."""
        return 0

    cdef int take(self, char *data, size_t size) except -1:
        """Bytes have arrived; they may be written to, and are gone when this returns."""
        raise UsageError("this protocol reads nothing")

    cdef int take_unread(self) except -1:
        """Go on with what `take` left for later; see `Exchange.read_on`."""
        return 0

    cdef int drained(self) except -1:
        """The peer has taken all that waited for it."""
        return 0

    cdef uint8_t wanted(self) noexcept:
        """The events that the loop is to watch."""
        return 1

    cdef bint is_alive(self) except -1:
        """A time limit has passed: whether the peer gave signs of life.  False: the connection is cut."""
        return False

    cdef bint depart(self) except -1:
        """The server wants the connection to end: whether the protocol says goodbye.  False: it is cut."""
        return False

    cdef int tell_end(self) except -1:
        """The server stops in a moment: see `Exchange.tell_end`."""
        return 0

    cdef int give_up(self, int code, str reason) except -1:
        """End it from this side with a code of the protocol's, read no more, keep nothing."""
        return 0

    cdef int64_t memory(self) noexcept:
        """Bytes it holds for the peer, what waits to be sent apart."""
        return 0

    cdef bint owes(self, int64_t *moved, int64_t *own) noexcept:
        """Whether the peer has begun something that it alone keeps from getting on.

        Args:
            moved: set to the bytes of it that have come.
            own: set to the bytes held for it.
        """
        return False

    cdef bint is_overdue(self, int64_t now_ns) noexcept:
        """Whether what the peer has begun is late."""
        return False

    cdef void gone(self) noexcept:
        """The connection is closed."""


cdef class ProtocolFactory:
    """Not for use by itself."""

    cdef Protocol open(self, object exchange, object handler, RequestPoint request, object protocol, object codec):
        """The protocol of an exchange whose request is about to be answered with 101.

        Args:
            exchange: the Exchange, which outlives what is made.
            handler: of the program, which the protocol's events are for.
            request: the one that asked for the upgrade.
            protocol: the subprotocol agreed on, or None.
            codec: compresses, or None.
        """
        raise UsageError("this factory makes nothing")
