"""One call of a WSGI app (PEP 3333): what it is given, and what it says, brought into the server's own form.

    request -> environ -> app(environ, start_response) -> status, HeaderBlock, body

A body that is there when the app returns is answered like any handler's.  What
the app does after that (the rest of its iterator, `close`) is done when the
answer is out, so that nobody waits for it.  Any other body is an iterator, which
the server pulls on the loop and on a thread as it does a handler's.

A `Call` serves one request after the other, unless the app kept something of it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport _Py_REFCNT

from dimcore.conn.exchange cimport Exchange
from dimcore.conn.streamed_body cimport Outflow
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head cimport AUTHORITY_FORM, UPGRADE
from dimcore.http1.head_writer cimport HeaderBlock, has_no_body
from dimcore.limits cimport HEAD
from dimcore.net.socket_io cimport FileBody
from dimcore.text.scan cimport scan_name_is, scan_setup, scan_value
from dimcore.wsgi.environ cimport EnvironMaker

from dimcore.errors import ResponseError, UsageError
from dimcore.reports import Report

cdef extern from "Python.h":
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    bytes PyBytes_FromObject(object data)

scan_setup()

cdef enum:
    BLOCK_BYTES = 65536      # of a file that is read

cdef tuple NOT_HERE = (501, {"Content-Type": "text/plain; charset=utf-8"}, b"Not Implemented\n")


cdef bint is_hop_by_hop(const char *name, Py_ssize_t size) noexcept nogil:
    """Fields an app must not set (PEP 3333); `Connection` and `Keep-Alive` are left to the writer, which knows them."""
    if size == 2:
        return scan_name_is(name, b"te", 2)
    if size == 7:
        return scan_name_is(name, b"upgrade", 7) or scan_name_is(name, b"trailer", 7)
    if size == 8:
        return scan_name_is(name, b"trailers", 8)
    if size == 18:
        return scan_name_is(name, b"proxy-authenticate", 18)
    return size == 19 and scan_name_is(name, b"proxy-authorization", 19)


cdef class Caller(CompiledHandler):
    """Calls a WSGI app; base of the gateway.

    Args:
        app: callable taking ``(environ, start_response)``.

    Calling it with a `RequestPoint` calls the app and returns what a handler returns.

    Thread-safety: any thread.
    """

    def __cinit__(self, app, *args, **kwargs):
        self.app = app
        self.idle = []
        self.recipe = ({}, "", "")

    def prepare(self, dict common not None, str root not None, str prefix not None, *, report=None, file_body=None,
                offer=None):
        """Say what calls are made with.

        Args:
            common: what is in each environ.
            root, prefix: see `EnvironMaker`.
            report: called with ``(message, request, exception or None)``.
            file_body: called with the file of a `FileWrapper`; returns a body the kernel can send, or None.
            offer: called on a thread with ``(request, hand)`` of a request that asks to change the protocol; returns
                what the app finds as ``gunicorn.socket``, or None.  Its `used` says whether the app's answer is not
                wanted any more; then ``end()`` returns what `perform` does.
        """
        self.recipe = (common, root, prefix)
        self.report = report
        self.file_body = file_body
        self.offer = offer
        self.idle = []

    cdef Call take_call(self, RequestPoint request):
        cdef Call call
        if self.idle:
            call = <Call> self.idle.pop()
        else:
            call = Call.__new__(Call)
            call.caller = self
            call.maker = EnvironMaker(*self.recipe)
            call.start = call.start_response
            call.writing = call.write
            call.block = HeaderBlock.__new__(HeaderBlock)
        if _Py_REFCNT(<PyObject *> call.block) != 1:     # an answer that is not out yet has it
            call.block = HeaderBlock.__new__(HeaderBlock)
        else:
            call.block.clear()
        call.request = request
        call.status = 0
        call.left = -1
        call.sent = call.excess = False
        return call

    def __call__(self, RequestPoint request not None):
        """Run the app on the loop.

        Raises:
            Whatever the app does, before there is an answer.
        """
        return self.run(request)

    cdef object run(self, RequestPoint request):
        cdef Call call
        cdef object answer
        if request.info.flags & AUTHORITY_FORM:
            return NOT_HERE
        call = self.take_call(request)
        try:
            answer = call.answer(self.app(call.maker.make(request), call.start))
        except BaseException:
            call.abandon()
            raise
        if call.iterable is None:
            call.over()
        elif type((<tuple> answer)[2]) is not Pieces:
            if isinstance(request.connection, Exchange):
                (<Exchange> request.connection).site.core.scratch.afterwards = call.conclude
            else:
                call.conclude()
        return answer

    def perform(self, RequestPoint request not None, hand):
        """Run the app on a thread.

        Args:
            hand: called with what a handler returns, where the app has more to do after that; a body that is an
                iterator is used up before it returns.  Where the app uses `write`, ``hand.open(status, headers)``
                begins the answer, and returns an object with ``put(bytes)``, False once nobody wants more, and
                ``end(exception or None)``.

        Returns:
            What a handler returns, or None where `hand` had it.

        Raises:
            Whatever the app does before there is an answer.
        """
        cdef Call call
        cdef object answer, result, upgrade = None
        cdef dict environ
        if request.info.flags & AUTHORITY_FORM:
            return NOT_HERE
        call = self.take_call(request)
        call.hand = hand
        try:
            environ = call.maker.make(request)
            if request.info.flags & UPGRADE and self.offer is not None:
                upgrade = self.offer(request, hand)
                if upgrade is not None:
                    environ["gunicorn.socket"] = upgrade
            result = self.app(environ, call.start)
            del environ                  # as far as this goes, it may end with the app
            if upgrade is not None and upgrade.used:
                call.iterable = result
                return self.end_upgrade(call, upgrade, None)
            answer = call.answer(result)
            del result
        except BaseException as error:
            if upgrade is not None and upgrade.used:
                return self.end_upgrade(call, upgrade, error)
            sink = call.sink
            call.abandon()
            if sink is None:
                raise
            sink.end(error)              # half an answer is out: it is cut short, which tells of the error too
            return None
        if upgrade is not None and upgrade.used:     # by a generator, before its first piece
            return self.end_upgrade(call, upgrade, None)
        if call.iterable is None:
            call.over()
            return answer
        if answer is None:
            call.conclude()
        elif type((<tuple> answer)[2]) is Pieces:
            del call                     # it ends with the pieces, and may serve somebody else by then
            hand(answer)
        else:
            hand(answer)
            call.conclude()
        return None

    cdef object end_upgrade(self, Call call, object upgrade, object error):
        """The app has taken the socket, or was refused it: what it returned or raised goes nowhere."""
        # How apps say that they have answered: as gunicorn has it, or by a connection that is over.
        if error is not None and upgrade.taken and not isinstance(error, (StopIteration, ConnectionError)):
            call.tell(Report.WSGI_FAILED_ON_SOCKET, error)
        call.abandon()
        return upgrade.end()


@cython.final
cdef class Call:
    """One call of the app, from its environ to `close`.

    Thread-safety: the thread that called the app.
    """

    def __init__(self):
        raise UsageError("calls are made by calling the app")

    # --- what the app calls ---------------------------------------------------------------------

    def start_response(self, status, headers, exc_info=None):
        """Begin the answer; see PEP 3333.

        Args:
            status: ``"200 OK"``.
            headers: list of pairs of str.
            exc_info: of the exception because of which an answer that was begun is given up.

        Returns:
            `write`, for apps from before iterables.

        Raises:
            ResponseError: a status or header that must not be sent.
            UsageError: the answer has begun already, or is over.
            The exception of `exc_info`, once the head is out.
        """
        self.begin(status, headers, exc_info)
        return self.writing

    def write(self, data):
        """Send a piece of the body."""
        cdef bytes piece = self.piece_of(data)
        if self.request is None:
            raise UsageError("write: the answer is over")
        if not self.status:
            raise UsageError("write: call start_response first")
        if self.left >= 0:
            piece = self.fit(piece)
        if PyBytes_GET_SIZE(piece) == 0:
            return
        if self.request.info.method == HEAD:
            self.written = []            # so that what is returned is not taken for the whole body
            return
        if has_no_body(self.status):
            return
        self.sent = True
        if self.sink is None and self.hand is not None:
            self.sink = self.hand.open(self.status, self.block)
        if self.sink is not None:
            if not self.sink.put(piece):
                raise BrokenPipeError("write: the client left")
            return
        if self.written is None:
            self.written = []
        self.written.append(piece)

    cdef int begin(self, object status, object headers, object exc_info) except -1:
        cdef const char *name
        cdef Py_ssize_t size
        if self.request is None:
            raise UsageError("start_response: the answer is over")
        if exc_info is not None:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None          # a traceback that has this frame, in this frame
        elif self.status:
            raise UsageError("start_response was called before; it may be called again only with exc_info")
        self.status = 0
        self.left = -1
        if _Py_REFCNT(<PyObject *> self.block) != 1:
            self.block = HeaderBlock.__new__(HeaderBlock)
        self.block.clear()
        if type(headers) is not list:
            raise ResponseError(f"headers must be a list of pairs, not {type(headers).__name__}")
        for pair in <list> headers:
            if type(pair) is not tuple or len(<tuple> pair) != 2:
                raise ResponseError(f"a header must be a tuple of name and value, not {pair!r:.100}")
            name_text, value = <tuple> pair
            if not isinstance(name_text, str) or not isinstance(value, str):
                raise ResponseError(f"the name and the value of a header must be str, not {pair!r:.100}")
            size = len(<str> name_text)
            if (size == 2 or size == 7 or size == 8 or size >= 18) and PyUnicode_IS_COMPACT_ASCII(name_text):
                name = <const char *> PyUnicode_DATA(name_text)
                if is_hop_by_hop(name, size):
                    raise ResponseError(f"header {name_text} is about this connection, and so the server's to set")
            self.block.add(name_text, value)
        self.take_status(status)
        self.left = self.block.declared
        return 0

    cdef int take_status(self, object status) except -1:
        cdef const char *text
        cdef Py_ssize_t size
        cdef bytes line
        cdef int code, i
        if not isinstance(status, str):
            raise ResponseError(f"a status must be str, for example '200 OK', not {status!r:.100}")
        if PyUnicode_IS_COMPACT_ASCII(status):
            text = <const char *> PyUnicode_DATA(status)
            size = PyUnicode_GET_LENGTH(status)
        else:
            try:
                line = (<str> status).encode("latin-1")
            except UnicodeEncodeError:
                raise ResponseError(f"status {status!r:.100} is not Latin-1") from None
            text = PyBytes_AS_STRING(line)
            size = PyBytes_GET_SIZE(line)
        code = 0
        for i in range(3 if size >= 3 and (size == 3 or text[3] == c" ") else 0):
            if not c"0" <= text[i] <= c"9":
                code = 0
                break
            code = code * 10 + text[i] - c"0"
        if code < 100:
            raise ResponseError(f"status {status!r:.100} does not begin with a number of three digits and a space")
        if scan_value(text, size) != <size_t> size:
            raise ResponseError(f"status {status!r:.100} holds a control character")
        if not 200 <= code <= 599:
            raise ResponseError(f"status {status!r:.100} is not between 200 and 599")
        if size > 4:
            self.block.set_line(text, size, code)
        self.status = code
        return 0

    # --- the answer -----------------------------------------------------------------------------

    cdef object answer(self, object result):
        """What a handler returns; `iterable` is set where there is more to do afterwards."""
        cdef bytes body
        if type(result) is not list and type(result) is not tuple or self.written is not None or self.sink is not None:
            return self.answer_pieces(result)
        if not self.status:
            raise UsageError("the app returned without having called start_response")
        if len(result) == 1:
            body = self.piece_of(result[0])
        else:
            body = b"".join([self.piece_of(piece) for piece in result])
        if self.left >= 0:
            body = self.fit(body)
        return self.status, self.block, self.body_for(body)

    cdef object answer_pieces(self, object result):
        cdef bytes first
        cdef bint last
        cdef Pieces pieces
        cdef FileBody file = None
        self.iterable = result
        if type(result) is FileWrapper and self.status and self.written is None and self.sink is None:
            file = None if self.caller.file_body is None else <FileBody> self.caller.file_body(result.file)
            if file is not None:
                if self.left < 0 or self.left <= file.length:
                    if self.left >= 0:
                        file.length = self.left
                    return self.status, self.block, file
                file.close()
            self.excess = True           # a range of a file is answered with its length, and the file as it is
        if self.status and self.request.info.method == HEAD:
            return self.status, self.block, self.body_for(b"")
        try:
            self.iterator = iter(result)
        except TypeError:
            raise ResponseError(f"the app must return an iterable of bytes, not {type(result).__name__}") from None
        first = self.next_piece()
        if not self.status:
            raise UsageError("the app did not call start_response, or only after its first piece of the body")
        if self.sink is not None:
            while first is not None and self.sink.put(first):
                first = self.next_piece()
            sink, self.sink = self.sink, None
            sink.end(None)
            return None
        last = first is None or self.left == 0 or hasattr(result, "__len__") and len(result) == 1
        if self.written is not None:
            if first is not None:
                self.written.append(first)
            first = b"".join(self.written)
        if last:
            self.sent = True
            return self.status, self.block, self.body_for(first or b"")
        pieces = Pieces.__new__(Pieces)
        pieces.call = self
        pieces.first = first
        return self.status, self.block, pieces

    cdef object body_for(self, bytes body):
        """A whole body as it is answered with."""
        if self.request.info.method == HEAD:
            # What there would be for GET: as the app says, or nobody knows.
            return b"" if self.block.declared >= 0 else body if PyBytes_GET_SIZE(body) else Outflow()
        return b"" if has_no_body(self.status) else body

    cdef bytes piece_of(self, object piece):
        if type(piece) is bytes:
            return <bytes> piece
        if isinstance(piece, bytes):
            return PyBytes_FromObject(piece)
        raise ResponseError(f"the body of a WSGI app must be bytes, not {type(piece).__name__}")

    cdef bytes next_piece(self):
        """The next piece that is not empty, or None at the end."""
        cdef bytes piece
        while True:
            try:
                piece = self.piece_of(next(self.iterator))
            except StopIteration:
                return None
            if PyBytes_GET_SIZE(piece) == 0:
                continue
            if self.left < 0:
                return piece
            piece = self.fit(piece)
            return piece if PyBytes_GET_SIZE(piece) else None

    cdef bytes fit(self, bytes body):
        """What of it belongs to the declared body; the rest is dropped, and that is told."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
        if size <= self.left:
            self.left -= size
            return body
        if not self.excess and self.request.info.method != HEAD and not has_no_body(self.status):
            self.excess = True
            self.tell(Report.WSGI_TOO_LONG, None)
        size = <Py_ssize_t> self.left
        self.left = 0
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(body), size)

    # --- the end --------------------------------------------------------------------------------

    def conclude(self):
        """The answer is out: let the app end."""
        try:
            # A generator may have something to do behind its last piece.
            if self.iterator is not None and self.left == 0:
                self.next_piece()
        except Exception as error:
            self.tell(Report.WSGI_FAILED_LATE, error)
        self.close_iterable()
        self.over()

    cdef void abandon(self) noexcept:
        """There is no answer: it was an exception."""
        self.close_iterable()
        self.over()

    cdef void close_iterable(self) noexcept:
        """`close`, which PEP 3333 wants called once in any case."""
        cdef object iterable = self.iterable
        self.iterable = None
        self.iterator = None
        try:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
        except Exception as error:
            self.tell(Report.WSGI_FAILED_IN_CLOSE, error)

    cdef void tell(self, object report, object error) noexcept:
        if self.caller.report is not None:
            self.caller.report(report, self.request, error)

    cdef void over(self) noexcept:
        """Serve again, unless the app still has what it could call."""
        self.request = None
        self.sink = self.hand = None
        self.written = None
        if _Py_REFCNT(<PyObject *> self.start) == 1 and _Py_REFCNT(<PyObject *> self.writing) == 1:
            self.caller.idle.append(self)


@cython.final
cdef class Pieces:
    """A body that the app makes while it is sent."""

    def __init__(self):
        raise UsageError("the pieces of a body come from a call")

    def __iter__(self):
        return self

    def __next__(self):
        cdef bytes piece = self.first
        if self.call is None:
            raise StopIteration
        if piece is not None:
            self.first = None
            self.call.sent = True
            return piece
        piece = self.call.next_piece()
        if piece is None:
            raise StopIteration
        return piece

    def close(self):
        """Nobody wants more; again is fine."""
        cdef Call call = self.call
        self.call = None
        self.first = None
        if call is not None:
            call.close_iterable()
            call.over()

    def __del__(self):
        self.close()


class FileWrapper:
    """``wsgi.file_wrapper``: a file as a body; one of the system's is sent by the kernel.

    Args:
        file: object with ``read(size)``; its ``close``, where there is one, is called in the end.
        block_size: bytes to read at a time, where reading it is needed.
    """

    def __init__(self, file, block_size=BLOCK_BYTES):
        self.file = file
        self.block_size = block_size

    def __iter__(self):
        return self

    def __next__(self):
        block = self.file.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def close(self):
        """Close the file."""
        close = getattr(self.file, "close", None)
        if close is not None:
            close()
