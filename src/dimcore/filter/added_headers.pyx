"""Fields that every answer has, unless it was given them."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize

from dimcore.conn.filter cimport AnswerHead, Filter, Transform
from dimcore.http.request cimport RequestPoint
from dimcore.http.router cimport Router
from dimcore.http1.head_writer cimport HeaderBlock
from dimcore.limits cimport GET

from dimcore.errors import ResponseError
from dimcore.http1.framing_fields import is_framing_field


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
            if not isinstance(name, str) or is_framing_field(name):
                raise ResponseError(f"the field {name!r:.100} cannot be added: the server sets it itself")
            block.clear()
            block.add(name, value)
            self.fields.append((name.lower().encode("ascii"), PyBytes_FromStringAndSize(block.data, block.size)))

    cdef Transform after(self, RequestPoint request, AnswerHead head):
        for name, line in self.fields or ():
            head.add(name, line)
        return None


@cython.final
cdef class AddedHeadersByPath(Filter):
    """Adds fields to answers that do not have them, by the path of the request.

    Args:
        choices: pairs of a Router and the fields for paths that it has a route for; None in its place stands for all
            paths.  Of fields of one name those of the first choice that fits are added.

    Raises:
        TypeError: something else is given.
    """

    cdef list choices

    def __init__(self, choices):
        cdef Router router
        cdef AddedHeaders headers
        self.choices = []
        for router, headers in choices:
            if headers is None:
                raise TypeError("a choice has no fields")
            self.choices.append((router, headers))

    cdef Transform after(self, RequestPoint request, AnswerHead head):
        cdef Py_ssize_t size = 0
        cdef const char *path = request.path_bytes(&size)
        cdef Router router
        cdef AddedHeaders headers
        cdef set added = set()
        cdef list names
        for router, headers in self.choices or ():
            # Only the path counts: the routes are those of `*`, or of GET.
            if router is not None and router.find(GET, NULL, 0, path, size) is None:
                continue
            names = []
            for name, line in headers.fields or ():
                if name not in added:
                    head.add(name, line)
                    names.append(name)
            added.update(names)
        return None
