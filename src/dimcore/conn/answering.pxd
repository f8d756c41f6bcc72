from libc.stdint cimport int64_t

from dimcore.conn.exchange cimport Exchange
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head cimport Head


cdef dict PLAIN                  # headers of an answer in plain text

# A request begins; what is known of one whose head is not whole.
cdef int open_request(Exchange exchange) except -1
cdef int tell_line(Exchange exchange, const Head *head, const char *data) except -1

# Run the handler of the request, here or elsewhere.
cdef int dispatch(Exchange exchange) except -1
# What the handler returned or raised becomes the answer.
cdef int give_answer(Exchange exchange, object result, object error) except -1
cdef int answer_with(Exchange exchange, int status, object headers, bytes body) except -1
cdef object compose(Exchange exchange, object headers, object body, int status, const char *kind)
cdef int send_body(Exchange exchange, object body) except -1
# An answer of the server's own that ends the exchange.
cdef int refuse(Exchange exchange, int status, bytes text, object headers) except -1
cdef int write_refusal(Exchange exchange, int status, bytes text, object headers, bint head_only) except -1
cdef int refuse_unrouted(Exchange exchange, const char *path, Py_ssize_t size) except -1
# A filter has an answer before the handler runs.
cdef object ask_filters(Exchange exchange)
cdef int answer_early(Exchange exchange, object result, object error) except -1
# The answer is out.
cdef void tell_finished(Exchange exchange, RequestPoint request, bint answered) noexcept
cdef int release_request(Exchange exchange) except -1
