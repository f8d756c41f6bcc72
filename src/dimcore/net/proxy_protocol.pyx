"""The PROXY protocol, versions 1 and 2: whom a proxy speaks for, said before a connection's first byte.

    PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n              version 1: a line of 107 bytes at most

    \r\n\r\n\0\r\nQUIT\n | 2,command | family,protocol | length | addresses | extensions      version 2
        12 bytes           1           1                 2        12, 36 or 216  type, length, value each

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, whose sections are named below.  Where it lets a
receiver choose: datagrams are refused, since this is a stream; a client at a Unix socket has no address, and is
treated as UNKNOWN; extensions are walked, so that a length that does not fit is seen, and none is used but the
checksum.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memcmp, memcpy, memset

from dimcore.net.socket_io cimport Peer, peer_address

from dimcore.errors import PeerError

cdef extern from "arpa/inet.h" nogil:
    int inet_pton(int family, const char *text, void *address)
    int AF_INET
    int AF_INET6

cdef enum:
    LINE_MOST = 107          # 2.1: with its CRLF
    TEXT_MOST = 45           # characters of an IPv6 address with an IPv4 tail
    FIXED = 16               # bytes of version 2 before the addresses
    LOCAL = 0                # 2.2: commands
    PROXY = 1
    TCP4 = 0x11              # 2.2: family and protocol
    UDP4 = 0x12
    TCP6 = 0x21
    UDP6 = 0x22
    UNIX_STREAM = 0x31
    UNIX_DATAGRAM = 0x32
    CHECKSUM = 3             # 2.2.3: the extension PP2_TYPE_CRC32C
    EXTENSION = 3            # bytes of its type and length
    CASTAGNOLI = 0x82F63B78  # the polynomial of CRC32C, reflected (RFC 4960 appendix B)

cdef const char *SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
cdef uint32_t crc_row[256]

cdef tuple TEXTS = (
    b"", b"there is none", b"its line is malformed", b"it is longer than allowed", b"its address or port is malformed",
    b"its version or command is unknown", b"its address family is unknown", b"it is for datagrams",
    b"it is too short for its addresses", b"an extension is malformed", b"its checksum is wrong",
)


cdef int fill() except -1:
    cdef uint32_t value
    cdef int at
    if len(TEXTS) != PROXY_FAULTS:
        raise AssertionError("a fault without a text")
    for at in range(256):
        value = <uint32_t> at
        for _ in range(8):
            value = (value >> 1) ^ <uint32_t> CASTAGNOLI if value & 1 else value >> 1
        crc_row[at] = value
    return 0


fill()


cdef int proxy_parse(ProxyHead *head, const char *data, size_t size) noexcept nogil:
    memset(head, 0, sizeof(ProxyHead))
    if size == 0:
        return PROXY_PARTIAL
    if data[0] == b"P":
        if memcmp(data, b"PROXY ", min(size, <size_t> 6)) != 0:
            return failed(head, PROXY_MISSING)
        return line(head, data, size)
    if memcmp(data, SIGNATURE, min(size, <size_t> 12)) != 0:
        return failed(head, PROXY_MISSING)
    return block(head, <const uint8_t *> data, size)


cdef inline int failed(ProxyHead *head, int fault) noexcept nogil:
    memset(&head.source, 0, sizeof(Peer))
    head.fault = fault
    return PROXY_FAILED


cdef bytes proxy_fault_text(int fault):
    return TEXTS[fault]


# --- version 1 ---------------------------------------------------------------------------------------

cdef int line(ProxyHead *head, const char *data, size_t size) noexcept nogil:
    cdef const char *found = <const char *> memchr(data, b"\n", min(size, <size_t> LINE_MOST))
    cdef size_t end, at = 6
    cdef Peer ours
    if found == NULL:
        return failed(head, PROXY_LONG) if size >= LINE_MOST else PROXY_PARTIAL
    end = found - data
    if data[end - 1] != b"\r":
        return failed(head, PROXY_LINE)
    end -= 1
    if end - at >= 7 and memcmp(data + at, b"UNKNOWN", 7) == 0 and (end - at == 7 or data[at + 7] == b" "):
        return <int> end + 2         # 2.1: whatever follows is ignored
    if end - at < 5 or memcmp(data + at, b"TCP", 3) != 0 or data[at + 4] != b" ":
        return failed(head, PROXY_LINE)
    if data[at + 3] != b"4" and data[at + 3] != b"6":
        return failed(head, PROXY_LINE)
    head.source.family = 4 if data[at + 3] == b"4" else 6
    ours.family = head.source.family
    at += 5
    if not (
        address(data, &at, end, &head.source) and address(data, &at, end, &ours)
        and port(data, &at, end, &head.source, False) and port(data, &at, end, &ours, True)
    ):
        return failed(head, PROXY_ADDRESS)
    return <int> end + 2


cdef bint address(const char *data, size_t *at, size_t end, Peer *peer) noexcept nogil:
    """The address at `at`, and the one blank behind it."""
    cdef char text[TEXT_MOST + 1]
    cdef const char *blank = <const char *> memchr(data + at[0], b" ", end - at[0])
    cdef size_t size
    if blank == NULL:
        return False
    size = blank - (data + at[0])
    if size > TEXT_MOST or memchr(data + at[0], 0, size) != NULL:
        return False
    memcpy(text, data + at[0], size)
    text[size] = 0
    at[0] += size + 1
    return inet_pton(AF_INET if peer.family == 4 else AF_INET6, text, peer.address) == 1


cdef bint port(const char *data, size_t *at, size_t end, Peer *peer, bint last) noexcept nogil:
    """The port at `at`: digits without a leading zero, then a blank, or for the last one the end."""
    cdef size_t begin = at[0]
    cdef uint32_t value = 0
    while at[0] < end and b"0" <= data[at[0]] <= b"9" and at[0] - begin < 5:
        value = value * 10 + <uint32_t> (data[at[0]] - <char> b"0")
        at[0] += 1
    if at[0] == begin or value > 65535 or (data[begin] == b"0" and at[0] - begin > 1):
        return False
    peer.port = <unsigned short> value
    if last:
        return at[0] == end
    if at[0] == end or data[at[0]] != b" ":
        return False
    at[0] += 1
    return True


# --- version 2 ---------------------------------------------------------------------------------------

cdef int block(ProxyHead *head, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t whole, addresses
    cdef int family
    if size < FIXED:
        return PROXY_PARTIAL
    if data[12] >> 4 != 2 or data[12] & 15 > PROXY:
        return failed(head, PROXY_VERSION)
    whole = FIXED + (<size_t> data[14] << 8) + data[15]
    if whole > PROXY_MOST:
        return failed(head, PROXY_LONG)
    family = data[13]
    if data[12] & 15 == LOCAL or family == 0:
        # 2.2: the proxy speaks for itself, or for it does not know whom; all else is to be discarded.
        return <int> whole if size >= whole else PROXY_PARTIAL
    if family == UDP4 or family == UDP6 or family == UNIX_DATAGRAM:
        return failed(head, PROXY_DATAGRAM)
    if family == TCP4:
        addresses = 12
    elif family == TCP6:
        addresses = 36
    elif family == UNIX_STREAM:
        addresses = 216
    else:
        return failed(head, PROXY_FAMILY)
    if whole < FIXED + addresses:
        return failed(head, PROXY_SHORT)
    if size < whole:
        return PROXY_PARTIAL
    if family == TCP4:
        head.source.family = 4
        memcpy(head.source.address, data + FIXED, 4)
        head.source.port = <unsigned short> ((data[FIXED + 8] << 8) + data[FIXED + 9])
    elif family == TCP6:
        head.source.family = 6
        memcpy(head.source.address, data + FIXED, 16)
        head.source.port = <unsigned short> ((data[FIXED + 32] << 8) + data[FIXED + 33])
    return extensions(head, data, FIXED + addresses, whole)


cdef int extensions(ProxyHead *head, const uint8_t *data, size_t at, size_t whole) noexcept nogil:
    cdef size_t size, checksum = 0
    while at < whole:
        if whole - at < EXTENSION:
            return failed(head, PROXY_EXTENSION)
        size = (<size_t> data[at + 1] << 8) + data[at + 2]
        if size > whole - at - EXTENSION:
            return failed(head, PROXY_EXTENSION)
        if data[at] == CHECKSUM:
            if size != 4 or checksum:
                return failed(head, PROXY_EXTENSION)
            checksum = at + EXTENSION
        at += EXTENSION + size
    if checksum and not is_intact(data, whole, checksum):
        return failed(head, PROXY_CHECKSUM)      # 2.2.3: such a connection must be dropped
    return <int> whole


cdef bint is_intact(const uint8_t *data, size_t size, size_t checksum) noexcept nogil:
    """Whether the checksum is that of the header in which its own four bytes are 0."""
    cdef uint32_t crc = 0xFFFFFFFF, said = 0
    cdef size_t at
    cdef uint8_t byte
    for at in range(size):
        byte = 0 if checksum <= at < checksum + 4 else data[at]
        crc = crc_row[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    for at in range(checksum, checksum + 4):
        said = (said << 8) + data[at]
    return said == crc ^ <uint32_t> 0xFFFFFFFF


# --- Python ------------------------------------------------------------------------------------------

def read_proxy_header(bytes data not None):
    """Read the header that a connection begins with.

    Args:
        data: what has come, from the first byte on; what is behind the header does not matter.

    Returns:
        None for more bytes; else (bytes of the header, (host, port) of the client or None where the proxy does not
        name anybody).

    Raises:
        PeerError: no further bytes can mend it.

    Thread-safety: any thread.
    """
    cdef ProxyHead head
    cdef int length = proxy_parse(&head, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    if length == PROXY_PARTIAL:
        return None
    if length < 0:
        raise PeerError(f"the PROXY header: {proxy_fault_text(head.fault).decode()}")
    return length, peer_address(&head.source)
