from libc.stdint cimport uint8_t

cdef uint8_t LOWER[256]      # of ASCII; any other byte is as it is

cdef bytes field_name(const char *text, Py_ssize_t size)
cdef str field_name_text(const char *text, Py_ssize_t size)
