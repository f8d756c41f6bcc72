"""What answers a request by itself, piece by piece, in place of a result that is returned.

A handler that is a `DrivenHandler` returns a `ResponseDriver`.  The connection starts
it, tells it of its peer's end, and otherwise leaves the answer to it.  It asks the
peer for a body (100 Continue) itself as well, when its program wants one.
"""

from dimcore.errors import UsageError


cdef class ResponseDriver:
    """One request and its answer; not for use by itself."""

    cdef int start(self, object connection) except -1:
        raise UsageError("this response driver has nothing to say")

    cdef void peer_done(self) noexcept:
        pass

    cdef void gone(self) noexcept:
        pass

    def __await__(self):
        # Makes it an awaitable, which is what a connection tells it by.
        raise UsageError("a response driver is started by its connection")


cdef class DrivenHandler:
    """A handler whose answers are conversations; not for use by itself."""

    cdef object open_body(self, object connection):
        raise UsageError("this handler takes no body")


cdef class CompiledHandler:
    """A handler that is called without a detour over Python; not for use by itself."""

    cdef object run(self, RequestPoint request):
        """What a handler returns, or an exception."""
        raise UsageError("this handler has nothing to run")
