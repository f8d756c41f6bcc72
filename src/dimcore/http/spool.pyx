"""A request body that is too large to be held in memory, in an unlinked temporary file."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport EINTR, errno

from dimcore.limits cimport KIB

from dimcore.errors import UsageError

cdef extern from "unistd.h" nogil:
    ssize_t pread(int fd, void *data, size_t room, long offset)
    ssize_t write(int fd, const void *data, size_t size)
    int close(int fd)

cdef enum:
    CHUNK_BYTES = 64 * KIB   # what iterating gives at a time


def open_unnamed(directory=None):
    """A temporary file that has no name.

    Where the file system can make one (O_TMPFILE), it never has had any: nothing is left behind, whenever the
    process ends, and nobody else can open it.  Else it is made under a random name, which is removed at once.

    Args:
        directory: where; the system's directory of temporary files when None.

    Returns:
        Its descriptor, open for reading and writing.

    Raises:
        OSError: no room, no right, no descriptors.
    """
    import os
    import tempfile
    place = tempfile.gettempdir() if directory is None else directory
    flag = getattr(os, "O_TMPFILE", 0)
    if flag:
        try:
            return os.open(place, flag | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:      # the file system cannot (EOPNOTSUPP, EISDIR), or the other way fails as well and says why
            pass
    fd, path = tempfile.mkstemp(prefix="dimserver-", dir=place)
    os.unlink(path)
    return fd


cdef class Spool:
    """Bytes on disk, read from the start as often as asked.

    Args:
        fd: descriptor of an empty regular file open for reading and writing; the
            object owns it from now on.

    Raises:
        UsageError: a negative number.

    Iterating gives `bytes` of 64 KiB and a rest.

    Thread-safety: reading is safe from several threads, each with its own iterator;
        appending is the loop's affair, before anybody reads.
    """

    def __cinit__(self, int fd):
        if fd < 0:
            raise UsageError(f"{fd} is no descriptor")
        self.fd = fd
        self.owned = True

    def __dealloc__(self):
        if self.owned:
            close(self.fd)

    cdef int append(self, const char *data, size_t size) except -1:
        """Write at the end; raises OSError, for example when the disk is full."""
        cdef ssize_t done
        cdef size_t at = 0
        while at < size:
            with nogil:
                done = write(self.fd, data + at, size - at)
            if done < 0:
                if errno == EINTR:
                    continue
                raise OSError(errno, "a request body could not be written to its temporary file")
            at += done
        self.size += size
        return 0

    def __iter__(self):
        cdef int64_t at = 0
        while at < self.size:
            chunk = self._read(at, min(<int64_t> CHUNK_BYTES, self.size - at))
            at += len(chunk)
            yield chunk

    def read(self):
        """All of it."""
        return self._read(0, self.size)

    def _read(self, int64_t at, int64_t size):
        cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
        cdef char *out = PyBytes_AS_STRING(data)
        cdef int64_t have = 0
        cdef ssize_t done
        while have < size:
            with nogil:
                done = pread(self.fd, out + have, size - have, at + have)
            if done < 0 and errno == EINTR:
                continue
            if done <= 0:
                raise OSError(errno, "the temporary file of a request body could not be read")
            have += done
        return data
