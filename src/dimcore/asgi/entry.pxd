from libc.stdint cimport uint64_t

from dimcore.asgi.scope cimport ScopeMaker
from dimcore.asgi.send cimport AsgiAnswer
from dimcore.conn.body_stream cimport ArrivingBody, BodyConsumer
from dimcore.conn.exchange cimport Exchange
from dimcore.conn.handler cimport DrivenHandler
from dimcore.http.request cimport RequestPoint


cdef bint tells_of_leaving(object error) except -1


cdef class AsgiEntry(DrivenHandler):
    cdef readonly object app
    cdef ScopeMaker scopes
    cdef AsgiReceive spare           # with its request's AsgiHttp; serves again if the app kept neither

    cdef object converse(self, RequestPoint request)
    cdef int bring(self, AsgiHttp http, RequestPoint request) except -1


cdef class AsgiReceive:
    cdef AsgiHttp owner


cdef class AsgiBodyConsumer(BodyConsumer):
    cdef AsgiHttp owner


cdef class AsgiHttp(AsgiAnswer):
    cdef AsgiEntry entry
    cdef AsgiReceive receive
    cdef dict scope                  # the app's, until it is through
    cdef uint64_t number             # of the request
    cdef str name                    # its id where proxies may give one
    cdef bint body_told              # the app has all of the request's body
    cdef bint peer_left              # it sends no more, or is gone

    cdef dict scope_of(self, Exchange at)
    cdef object receive_now(self)
    cdef bint excuses(self, object error) except -1
    cdef object asked(self)
    cdef int ended(self, object result, object error) except -1
    cdef int settle(self, object result, object error, ArrivingBody arriving) except -1
    cdef int end_answer(self, object error, bint nested) except -1
