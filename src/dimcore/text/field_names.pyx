"""Names of header fields in lower case, one object each: browsers send the same thirty all day.

A direct-mapped table, so it is bounded: a name that meets another in its slot replaces it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint32_t

cdef enum:
    SLOTS = 256
    KEPT_BYTES = 40          # longer names are not kept

cdef struct Slot:
    PyObject *name           # bytes, or NULL
    PyObject *text           # the same as str, or NULL while nobody asked

cdef Slot _slots[SLOTS]

for _byte in range(256):
    LOWER[_byte] = _byte + 32 if 65 <= _byte <= 90 else _byte
for _byte in range(SLOTS):
    _slots[_byte].name = _slots[_byte].text = NULL


cdef inline Slot *_slot_of(const char *text, Py_ssize_t size) noexcept:
    return &_slots[(
        <uint32_t> size * 31 + LOWER[<uint8_t> text[0]] * 7 + LOWER[<uint8_t> text[size - 1]] * 3
        + LOWER[<uint8_t> text[size // 2]]
    ) % SLOTS]


cdef inline bint _is_there(Slot *slot, const char *text, Py_ssize_t size) noexcept:
    cdef const char *data
    cdef Py_ssize_t i = 0
    if slot.name == NULL or PyBytes_GET_SIZE(<object> slot.name) != size:
        return False
    data = PyBytes_AS_STRING(<object> slot.name)
    while i < size and <char> LOWER[<uint8_t> text[i]] == data[i]:
        i += 1
    return i == size


cdef bytes field_name(const char *text, Py_ssize_t size):
    """A name as bytes; `size` is not 0."""
    cdef Slot *slot = _slot_of(text, size)
    cdef bytes name
    cdef char *data
    cdef Py_ssize_t i
    if _is_there(slot, text, size):
        return <bytes> slot.name
    name = PyBytes_FromStringAndSize(NULL, size)
    data = PyBytes_AS_STRING(name)
    for i in range(size):
        data[i] = <char> LOWER[<uint8_t> text[i]]
    if size <= KEPT_BYTES:
        Py_INCREF(name)
        Py_XDECREF(slot.name)
        Py_XDECREF(slot.text)
        slot.name = <PyObject *> name
        slot.text = NULL
    return name


cdef str field_name_text(const char *text, Py_ssize_t size):
    """A name as str; `size` is not 0."""
    cdef Slot *slot = _slot_of(text, size)
    cdef str decoded
    if not _is_there(slot, text, size):
        decoded = field_name(text, size).decode("ascii")
        if size > KEPT_BYTES:
            return decoded
    elif slot.text != NULL:
        return <str> slot.text
    else:
        decoded = (<bytes> slot.name).decode("ascii")
    Py_INCREF(decoded)
    slot.text = <PyObject *> decoded
    return decoded
