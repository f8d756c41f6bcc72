"""What may stand between a request and its handler, and between an answer and the writer.

    head of the request -> before -> body, handler -> after -> head of the answer
                              |                         |
                              +- an answer               +- a Transform: feed, feed, ..., end -> body of the answer

    the answer is out -> finished

Filters are set for a route (`Route.filters`), and for what has no route
(`Site.filters`).  They see every answer the same way, whatever made it: a native
handler, a WSGI or ASGI app, a file, an iterator, a stream that is pushed.  Where none
is set, all of this costs a look at one pointer.
"""

cimport cython

from dimcore.errors import UsageError


@cython.auto_pickle(False)
cdef class AnswerHead:
    """The head of an answer before it is written.

    Attributes:
        status: 200 to 599; may be changed.
        headers: what the handler gave: a mapping, pairs, the fields of a gateway's app, or None; may be replaced.
        length: bytes of the body as the handler made it; -1 for a stream.
        content_type: in bytes, used unless the headers name one; or None.

    Thread-safety: the loop's thread, within the call that got it.
    """

    def __init__(self):
        raise UsageError("the server makes these")

    cdef int add(self, bytes name, bytes line) except -1:
        """Add a field unless the answer has one of that name.

        Args:
            name: in lower case.
            line: all of it, with its line end; checked by whoever adds it.
        """
        if self.further is None:
            self.further = []
        self.further.append((name, line))
        return 0


cdef class Transform:
    """Changes a body on its way; not for use by itself.  One for each answer."""

    cdef bytes feed(self, bytes piece):
        """What goes on in place of a piece; may be empty."""
        return piece

    cdef bytes end(self):
        """What follows the last piece; may be empty."""
        return b""


@cython.final
cdef class _Joined(Transform):
    cdef list transforms

    cdef bytes feed(self, bytes piece):
        for transform in self.transforms:
            if piece:
                piece = (<Transform> transform).feed(piece)
        return piece

    cdef bytes end(self):
        cdef bytes last = b""
        for transform in self.transforms:
            if last:
                last = (<Transform> transform).feed(last)
            last += (<Transform> transform).end()
        return last


cdef Transform joined(list transforms):
    cdef _Joined all_
    if len(transforms) == 1:
        return <Transform> transforms[0]
    all_ = _Joined.__new__(_Joined)
    all_.transforms = transforms
    return all_


cdef class Filter:
    """Base of all filters; not for use by itself.  Every method is called on the loop's thread."""

    cdef object before(self, RequestPoint request):
        """The head of a request is here, its body perhaps not.

        Returns:
            None: the request goes on.  Anything a handler may return: that is the answer.
        """
        return None

    cdef Transform after(self, RequestPoint request, AnswerHead head):
        """The head of the answer is about to be written, and may be changed.

        Returns:
            What the body is sent through, or None.  Where there is no body (HEAD, 204, 304) it is not used.
        """
        return None

    cdef int finished(self, RequestPoint request, const Peer *peer, int64_t now_ns) except -1:
        """The answer is out, or its client has left."""
        return 0


@cython.final
cdef class _Called(Filter):
    cdef object call

    cdef int finished(self, RequestPoint request, const Peer *peer, int64_t now_ns) except -1:
        self.call(request, request.status, request.body_sent, request.finished_ns - request.started_ns)
        return 0


cdef Filter as_filter(object call):
    cdef _Called called
    if call is None or isinstance(call, Filter):
        return call
    called = _Called.__new__(_Called)
    called.call = call
    return called
