from libc.stdint cimport int64_t, uint64_t

from dimcore.ws.websocket cimport WebSocket

cdef enum:
    NOTE_COST = 128              # what a message counts for beside its bytes


# A message on its way to the subscribers of one topic.
cdef class Note:
    cdef int opcode
    cdef int head_size
    cdef bytes frame                 # uncompressed, whole
    cdef dict packed                 # key of agreed parameters -> compressed frame; None before the first
    cdef WebSocket excluded          # who does not get it, or None
    cdef str name                    # of its topic, while it is handed from a thread to the loop

    cdef bytes payload(self)
    cdef bytes packed_for(self, object key, object codec)


# Messages that leave with one send.
cdef class Batch:
    cdef list notes
    cdef uint64_t first              # number of the first message among those of the topic
    cdef uint64_t last
    cdef int64_t size
    cdef bint excludes               # somebody is left out of one of them
    cdef bytes whole                 # all frames, uncompressed
    cdef dict packed                 # key -> (all frames, whether one of them is compressed)

    cdef bytes frames(self)
    cdef tuple packed_for(self, object key, object codec)


cdef bytes whole_frame(int opcode, bint compressed, const char *data, size_t size)
