"""The header of the PROXY protocol; see proxy_protocol.pyx."""

from dimcore.net.socket_io cimport Peer

cdef enum ProxyResult:
    PROXY_PARTIAL = -2       # no fault so far, more bytes are needed
    PROXY_FAILED = -1        # no further bytes can mend it

cdef enum:
    PROXY_MOST = 4096        # bytes of a header; nginx's bound (NGX_PROXY_PROTOCOL_MAX_HEADER)

cdef enum ProxyFault:
    PROXY_FINE = 0
    PROXY_MISSING = 1
    PROXY_LINE = 2
    PROXY_LONG = 3
    PROXY_ADDRESS = 4
    PROXY_VERSION = 5
    PROXY_FAMILY = 6
    PROXY_DATAGRAM = 7
    PROXY_SHORT = 8
    PROXY_EXTENSION = 9
    PROXY_CHECKSUM = 10
    PROXY_FAULTS = 11

cdef struct ProxyHead:
    Peer source              # whom the proxy speaks for; family 0: it does not name anybody
    int fault                # ProxyFault

# Bytes of the header that `data` begins with, or a ProxyResult.  No state: what came is looked at again, and that is
# bounded by the length of a header.
cdef int proxy_parse(ProxyHead *head, const char *data, size_t size) noexcept nogil

cdef bytes proxy_fault_text(int fault)
