"""A message of a topic, encoded once for all who get it, and messages joined to one send.

A compressed message is made once for all sockets that agreed on the same
parameters, by a compressor that knows no message before it; any receiver can
inflate that.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from dimcore.ws.frames cimport HEAD_MOST, frame_write_head


@cython.final
@cython.no_gc
cdef class Note:

    cdef bytes payload(self):
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.frame) - self.head_size
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.frame) + self.head_size, size)

    cdef bytes packed_for(self, object key, object codec):
        """The compressed frame for those who agreed on `key`; the plain one where it is too short for that."""
        cdef bytes packed
        if PyBytes_GET_SIZE(self.frame) - self.head_size < <Py_ssize_t> codec.threshold:
            return self.frame
        if self.packed is None:
            self.packed = {}
        packed = <bytes> self.packed.get(key)
        if packed is None:
            packed = <bytes?> codec.deflate_apart(self.payload())
            packed = whole_frame(self.opcode, True, PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))
            self.packed[key] = packed
        return packed


@cython.final
@cython.no_gc
cdef class Batch:

    cdef bytes frames(self):
        if self.whole is None:
            notes = self.notes
            self.whole = (<Note> notes[0]).frame if len(notes) == 1 else b"".join([(<Note> n).frame for n in notes])
        return self.whole

    cdef tuple packed_for(self, object key, object codec):
        cdef tuple found
        cdef Note note
        cdef bytes frame
        if self.packed is None:
            self.packed = {}
        found = <tuple> self.packed.get(key)
        if found is None:
            frames = []
            compressed = False
            for note in self.notes:
                frame = note.packed_for(key, codec)
                compressed = compressed or frame is not note.frame
                frames.append(frame)
            found = (frames[0] if len(frames) == 1 else b"".join(frames), compressed)
            self.packed[key] = found
        return found


cdef bytes whole_frame(int opcode, bint compressed, const char *data, size_t size):
    cdef char head[HEAD_MOST]
    cdef int head_size = frame_write_head(head, opcode, True, compressed, size, NULL)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, head_size + size)
    memcpy(PyBytes_AS_STRING(frame), head, head_size)
    if size:
        memcpy(PyBytes_AS_STRING(frame) + head_size, data, size)
    return frame
