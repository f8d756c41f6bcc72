"""Fields that every answer has, unless it was given them."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize

from dimcore.conn.filter cimport AnswerHead, Filter, Transform
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head_writer cimport HeaderBlock

from dimcore.errors import ResponseError

# What frames an answer is the server's to say.
cdef set FRAMING = {"connection", "content-length", "date", "keep-alive", "transfer-encoding", "upgrade"}


@cython.final
cdef class AddedHeaders(Filter):
    """Adds fields to answers that do not have them.

    Args:
        pairs: names and values.  Several of one name are all added, where the answer has none.

    Raises:
        ResponseError: a name or value that must not be sent, or a name that is the server's own.
    """

    cdef list fields

    def __init__(self, pairs):
        cdef HeaderBlock block = HeaderBlock()
        self.fields = []
        for name, value in pairs:
            if not isinstance(name, str) or name.lower() in FRAMING:
                raise ResponseError(f"the field {name!r:.100} cannot be added: the server sets it itself")
            block.clear()
            block.add(name, value)
            self.fields.append((name.lower().encode("ascii"), PyBytes_FromStringAndSize(block.data, block.size)))

    cdef Transform after(self, RequestPoint request, AnswerHead head):
        for name, line in self.fields or ():
            head.add(name, line)
        return None
