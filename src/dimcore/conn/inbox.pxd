"""Input of one connection that could not be used yet: half a head, or requests behind a slow handler.

    data                start             end           room
    |  used already     |  waiting        |  free       |

What is used only moves `start`; what waits is moved to the front when that pays
for itself, so a byte is copied O(1) times however small the steps are.
"""
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memmove

from dimcore.http1.head cimport Head


# 32 bytes: | data | head | start | end | room | - |
cdef struct Inbox:
    char *data
    Head *head               # the parser's state while the head at `start` is incomplete, or NULL
    uint32_t start
    uint32_t end
    uint32_t room


cdef inline Inbox *inbox_new() except NULL:
    cdef Inbox *inbox = <Inbox *> PyMem_Malloc(sizeof(Inbox))
    if inbox == NULL:
        raise MemoryError
    inbox.data = NULL
    inbox.head = NULL
    inbox.start = inbox.end = inbox.room = 0
    return inbox


cdef inline void inbox_free(Inbox *inbox) noexcept:
    if inbox != NULL:
        PyMem_Free(inbox.data)
        PyMem_Free(inbox.head)
        PyMem_Free(inbox)


cdef inline size_t inbox_size(const Inbox *inbox) noexcept nogil:
    """Bytes that wait; 0 where there is no inbox."""
    return 0 if inbox == NULL else inbox.end - inbox.start


cdef inline int inbox_append(Inbox *inbox, const char *data, size_t size) except -1:
    """Append; raises MemoryError, and then nothing was changed."""
    cdef size_t used = inbox.end - inbox.start
    cdef size_t room
    cdef char *grown
    if inbox.end + size > inbox.room:
        if inbox.start >= used + size:
            memmove(inbox.data, inbox.data + inbox.start, used)
        else:
            # Twice as much as is asked for only once there was something: the first piece is often all.
            room = used + size
            grown = <char *> PyMem_Malloc(room if inbox.room == 0 else room * 2)
            if grown == NULL:
                raise MemoryError
            if used:                     # nothing, not even 0 bytes, may be copied from NULL
                memcpy(grown, inbox.data + inbox.start, used)
            PyMem_Free(inbox.data)
            inbox.data = grown
            inbox.room = <uint32_t> (room if inbox.room == 0 else room * 2)
        inbox.start = 0
        inbox.end = <uint32_t> used
    memcpy(inbox.data + inbox.end, data, size)
    inbox.end += <uint32_t> size
    return 0


cdef inline int inbox_keep_head(Inbox *inbox, const Head *head) except -1:
    """Keep the state of the parser until the rest of the head is here."""
    inbox.head = <Head *> PyMem_Malloc(sizeof(Head))
    if inbox.head == NULL:
        raise MemoryError
    inbox.head[0] = head[0]
    return 0
