from libc.stdint cimport int64_t

from dimcore.conn.handler cimport CompiledHandler
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head_writer cimport HeaderBlock
from dimcore.wsgi.environ cimport EnvironMaker


cdef class Caller(CompiledHandler):
    cdef readonly object app
    cdef EnvironMaker maker          # the first; the others are made like it
    cdef tuple recipe                # how
    cdef list idle                   # calls that serve again
    cdef object report               # called with (message, request, exception or None)
    cdef object file_body            # called with (file): what the kernel can send of it, or None
    cdef object offer                # called with (request, hand): the socket an app may take, or None

    cdef Call take_call(self, RequestPoint request)
    cdef object end_upgrade(self, Call call, object upgrade, object error)


cdef class Call:
    cdef Caller caller
    cdef EnvironMaker maker
    cdef RequestPoint request        # None once the call is over
    cdef HeaderBlock block           # the fields the app gave
    cdef object start                # `start_response` and `write`, bound: as the app gets them
    cdef object writing
    cdef int status                  # 0: not told
    cdef object hand                 # on a thread: takes the answer, and opens one for `write`
    cdef bint sent                   # the head is out: too late for another
    cdef list written                # by `write`, on the loop; or None
    cdef object sink                 # by `write`, on a thread: where it goes; or None
    cdef bint excess                 # the app gave more than that, which was told
    cdef int64_t left                # of the declared body; -1: not declared
    cdef object iterable             # what the app returned, to be closed
    cdef object iterator

    cdef int begin(self, object status, object headers, object exc_info) except -1
    cdef int take_status(self, object status) except -1
    cdef object answer(self, object result)
    cdef object answer_pieces(self, object result)
    cdef bytes piece_of(self, object piece)
    cdef bytes next_piece(self)
    cdef bytes fit(self, bytes body)
    cdef object body_for(self, bytes body)
    cdef void abandon(self) noexcept
    cdef void close_iterable(self) noexcept
    cdef void tell(self, object report, object error) noexcept
    cdef void over(self) noexcept


cdef class Pieces:
    cdef Call call
    cdef bytes first
