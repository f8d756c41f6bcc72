"""The end of the process that forked this one, told by the kernel.

A worker learns from its loop that its supervisor is gone.  One whose loop is held up by a handler does not, and would
keep its listening socket, and with it the port, for as long as that takes.
"""

cdef extern from *:
    """
    #ifdef __linux__
    #include <sys/prctl.h>
    static int dimcore_tell_at_parents_end(int number) {
        return prctl(PR_SET_PDEATHSIG, (unsigned long)number, 0UL, 0UL, 0UL);
    }
    #else
    static int dimcore_tell_at_parents_end(int number) {
        (void)number;
        return -1;
    }
    #endif
    """
    int dimcore_tell_at_parents_end(int number) nogil


def tell_at_parents_end(int number):
    """Have the kernel send this process a signal when its parent ends.

    Args:
        number: of the signal; 0 takes it back.

    Returns:
        False where the system has no such thing.

    Thread-safety: for the whole process; the parent's end is that of the thread which forked.  Not inherited by a fork.
    """
    return dimcore_tell_at_parents_end(number) == 0
