from cpython.object cimport PyObject


# A class with `advance` gets the slot that `await` asks first: no exception is made to hand a value back.
cdef extern from *:
    """
    static void dimcore_set_am_send(PyObject *type, void *function) {
        ((PyTypeObject *)type)->tp_as_async->am_send = (sendfunc)function;
    #ifdef Py_TPFLAGS_HAVE_AM_SEND
        ((PyTypeObject *)type)->tp_flags |= Py_TPFLAGS_HAVE_AM_SEND;
    #endif
        PyType_Modified((PyTypeObject *)type);
    }
    """
    void set_am_send "dimcore_set_am_send"(object type, void *function)


cdef class Waits:
    cdef list futures

    cdef object one(self, object loop)
    cdef int drop(self, object future) except -1
    cdef int wake(self) except -1


cdef class Done:
    pass


# What an awaitable is that has nothing to wait for and nothing to say.
cdef Done DONE
