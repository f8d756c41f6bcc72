"""The name under which the system shows this process.

Linux keeps a program's arguments in the program's own memory and reads them there for each `ps`.  So whoever wants
another title writes it over them.  The environment comes straight after, and is left as it is.
"""

from dimcore.errors import UsageError

cdef extern from *:
    """
    #ifdef __linux__
    #include <fcntl.h>
    #include <sys/prctl.h>
    #include <unistd.h>
    #define DIMCORE_HAS_TITLE 1
    static int dimcore_name_thread(const char *name) {
        return prctl(PR_SET_NAME, (unsigned long)name, 0UL, 0UL, 0UL);
    }
    static int dimcore_open_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC | O_NONBLOCK); }
    static void dimcore_close_pipe(int ends[2]) { close(ends[0]); close(ends[1]); }
    /* The kernel copies, and refuses where nothing can be written, at which a memcpy would end the process. */
    static int dimcore_copy_by_kernel(int ends[2], unsigned long to, const char *source, size_t size) {
        return write(ends[1], source, size) == (ssize_t)size && read(ends[0], (void *)to, size) == (ssize_t)size;
    }
    #else
    #include <stddef.h>
    #define DIMCORE_HAS_TITLE 0
    static int dimcore_name_thread(const char *name) { (void)name; return -1; }
    static int dimcore_open_pipe(int ends[2]) { (void)ends; return -1; }
    static void dimcore_close_pipe(int ends[2]) { (void)ends; }
    static int dimcore_copy_by_kernel(int ends[2], unsigned long to, const char *source, size_t size) {
        (void)ends; (void)to; (void)source; (void)size;
        return 0;
    }
    #endif
    """
    bint DIMCORE_HAS_TITLE
    int dimcore_name_thread(const char *name)
    int dimcore_open_pipe(int *ends)
    void dimcore_close_pipe(int *ends)
    int dimcore_copy_by_kernel(int *ends, unsigned long to, const char *source, size_t size)

cdef enum:
    CHUNK = 4096  # bytes: what a pipe takes at once, whatever its size
    MOST_NAME = 15  # bytes, of the kernel's
    ARGUMENTS = 45  # fields of /proc/self/stat after the name: where the arguments begin, and after it where they end


def set_process_title(str title, str name):
    """Have `ps` and the like show another title for this process, and `top` another name.

    Args:
        title: instead of the command line; cut where the command line was shorter.
        name: instead of the program's; cut to 15 bytes.

    Returns:
        False where the system shows what the process was started with, as before.

    Raises:
        UsageError: a NUL in one of them.

    Thread-safety: the main thread, whose name is that of the process.  A fork inherits both.
    """
    cdef bytes text = title.encode("utf-8", "replace")
    cdef bytes short = _cut(name.encode("utf-8", "replace"), MOST_NAME)
    if b"\0" in text or b"\0" in short:
        raise UsageError(f"a process title cannot contain NUL, got {title!r} and {name!r}")
    if not DIMCORE_HAS_TITLE or dimcore_name_thread(short) != 0:
        return False
    try:
        with open("/proc/self/stat", "rb", 0) as file:
            fields = file.read(CHUNK).rpartition(b")")[2].split()
        begin, end = (int(each) for each in fields[ARGUMENTS:ARGUMENTS + 2])
    except (OSError, ValueError):  # there is no /proc, or it says less
        return False
    return begin < end and _write(begin, end, text)


cdef bint _write(unsigned long begin, unsigned long end, bytes text) except -1:
    """Fill the arguments with a title.

    Their last byte stays NUL: without it the kernel takes the environment for a part of them.
    """
    cdef int[2] ends
    cdef unsigned long at = begin
    cdef size_t size
    cdef bytes chunk
    cdef bint done = True
    text = _cut(text, end - begin - 1)
    if dimcore_open_pipe(ends) != 0:
        return False
    try:
        while done and at < end:
            size = min(<size_t>CHUNK, end - at)
            chunk = text[at - begin:at - begin + size].ljust(size, b"\0")
            done = dimcore_copy_by_kernel(ends, at, chunk, size)
            at += size
    finally:
        dimcore_close_pipe(ends)
    return done


cdef bytes _cut(bytes text, size_t most):
    """So many bytes at most, and no part of a character."""
    return text if len(text) <= most else text[:most].decode("utf-8", "ignore").encode()
