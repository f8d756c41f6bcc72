"""A segment: memory with a name that a process shares with those it forks."""
cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport UINT32_MAX, uint64_t
from libc.string cimport memcmp, memcpy

from dimcore.errors import DimcoreError, UsageError

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <sys/mman.h>
    #include <unistd.h>
    #ifdef __linux__
    #include <sys/syscall.h>
    #endif
    #ifndef MFD_CLOEXEC
    #define MFD_CLOEXEC 1U
    #endif
    #ifndef MFD_ALLOW_SEALING
    #define MFD_ALLOW_SEALING 2U
    #endif

    /* A file of that many zero bytes whose size never changes, or -1 where the system has none to give. */
    static int dimcore_memory_file(const char *name, size_t bytes) {
    #ifdef SYS_memfd_create
        int fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
            return -1;
        if (ftruncate(fd, (off_t)bytes) < 0) {
            close(fd);
            return -1;
        }
    #ifdef F_ADD_SEALS
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    #endif
        return fd;
    #else
        (void)name;
        (void)bytes;
        return -1;
    #endif
    }

    /* Zeroed memory that forked processes share, or NULL with errno set.  It has a name where the system has
       memory files; everywhere else, and where those are forbidden or no descriptor is left, it has none. */
    static void *dimcore_map_shared(const char *name, size_t bytes) {
        void *at;
        int fd = dimcore_memory_file(name, bytes);
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANON : 0), fd, 0);
        if (fd >= 0) {
            int error = errno;
            close(fd);               /* the mapping stays: a segment takes no descriptor */
            errno = error;
        }
        return at == MAP_FAILED ? NULL : at;
    }

    static void dimcore_unmap(void *at, size_t bytes) {
        munmap(at, bytes);
    }

    static size_t dimcore_page(void) {
        return (size_t)sysconf(_SC_PAGESIZE);
    }

    static int dimcore_errno(void) {
        return errno;
    }
    """
    void *map_shared "dimcore_map_shared"(const char *name, size_t bytes)
    void unmap "dimcore_unmap"(void *at, size_t bytes)
    size_t page_size "dimcore_page"()
    int last_error "dimcore_errno"()

cdef uint64_t MAGIC = 0x31676573646d6964     # "dimdseg1"
cdef str PREFIX = "dimserver-"               # of its name in /proc/PID/maps

MAX_BYTES = 1 << 40
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class SegmentError(DimcoreError):
    """The system has no memory for a segment."""


@cython.final
cdef class Segment:
    """Shared memory with a name, a version and a size.

    The supervisor makes it before it forks; a worker has it because it was there at the fork.  What it guarantees:

    * Its bytes are zero when it is made, begin at a multiple of 64, and stay at one address in every process.
    * Its size never changes.  Memory is taken page by page, as it is first written to.
    * It takes no descriptor, has no name in a file system, and a program that is executed does not have it.
      On Linux `/proc/PID/maps` shows it as ``/memfd:dimserver-NAME``.
    * It is given back when the last process that has it lets go of it, however that ends.  A killed process leaves
      the bytes as they were at its last store.

    What it does not: order, locks, atomicity.  Users keep to one writer a record and to readers that never wait
    (`two_copies.pxd`), or to single atomic words (`atomics.pxd`).  Whatever takes more than one store needs a way back
    that the next writer takes, and a test that kills a writer at each of its steps.

    The version is that of the layout: code that lays the bytes out in another way gives another version, and so does
    not take over what older code has written.

    Args:
        name: 1 to 21 of ``a-z``, ``0-9`` and ``-``.
        version: 1 to 4294967295.
        size: bytes for its users, 1 to 2**40; a setting bounds it where it grows with one.

    Raises:
        UsageError: a bad name, version or size.
        SegmentError: the system refuses the memory.

    Lifetime: the memory lasts as long as the object and whatever has a buffer of it.
    Thread-safety: the object never changes; its bytes are their users' affair.
    """

    def __cinit__(self, str name not None, version, size):
        cdef SegmentHeader *header
        cdef bytes text
        cdef size_t page = page_size()
        if not 1 <= len(name) < NAME_BYTES - len(PREFIX) or not NAME_CHARACTERS.issuperset(name):
            raise UsageError(
                f"the name of a segment is 1 to {NAME_BYTES - len(PREFIX) - 1} of a-z, 0-9 and '-', got {name!r}"
            )
        if type(version) is not int or not 1 <= version <= UINT32_MAX:
            raise UsageError(f"the version of segment {name} must be 1 to {UINT32_MAX}, got {version!r}")
        if type(size) is not int or not 1 <= size <= MAX_BYTES:
            raise UsageError(f"the size of segment {name} must be 1 to {MAX_BYTES} bytes, got {size!r}")
        self.name = name
        self.version = version
        self.size = size
        self.bytes = (sizeof(SegmentHeader) + self.size + page - 1) // page * page
        text = (PREFIX + name).encode()
        self.mapping = map_shared(text, self.bytes)
        if self.mapping == NULL:
            import os
            raise SegmentError(f"no {self.bytes} bytes of shared memory for {name}: {os.strerror(last_error())}")
        header = <SegmentHeader *> self.mapping
        header.size = self.size
        header.version = version
        memcpy(header.name, <const char *> text + len(PREFIX), len(name))
        header.magic = MAGIC
        self.at = <char *> self.mapping + sizeof(SegmentHeader)

    def __dealloc__(self):
        if self.mapping != NULL:
            unmap(self.mapping, self.bytes)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.at, <Py_ssize_t> self.size, 0, flags)

    def fits(self, str name not None, version, size):
        """Whether this is what `Segment(name, version, size)` would be, and its header is unharmed."""
        cdef SegmentHeader *header = <SegmentHeader *> self.mapping
        cdef bytes text
        if (name, version, size) != (self.name, self.version, self.size):
            return False
        text = self.name.encode()
        return (
            header.magic == MAGIC and header.size == self.size and header.version == <uint64_t> self.version
            and memcmp(header.name, <const char *> text, len(text) + 1) == 0
        )

    def __repr__(self):
        return f"<Segment {self.name} version {self.version} of {self.size} bytes>"
