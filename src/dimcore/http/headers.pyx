"""The header fields of a head, as spans of its bytes and as a mapping that decodes what is asked for.

A `HeadPoint` says where the fields lie; `Headers` is the view on them that a
handler sees.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy

from dimcore.limits cimport MAX_FIELDS, MAX_HEAD_BYTES
from dimcore.text.field_names cimport LOWER, field_name_text
from dimcore.text.scan cimport scan_is_token, scan_is_value, scan_setup

from dimcore.errors import UsageError

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void *PyUnicode_DATA(object text)

scan_setup()


cdef bytes _bytes_of(object value):
    """Text as Latin-1, bytes-like as it is."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return (<str> value).encode("latin-1")
    return memoryview(value).tobytes()


@cython.final
cdef class Headers:
    """Case-insensitive multi-mapping of the header fields of one request.

    Names come out in lower case, values as text decoded from Latin-1 (RFC 9110
    5.5: other than ASCII they are opaque).  ``headers[name]`` is the first value
    of that name, `getall` gives all in the order they came.  Nothing is decoded
    but what is asked for.  Keeps its request alive.
    """

    def __init__(self):
        raise UsageError("Headers belong to a request: use request.headers")

    cdef const Field *lookup(self, str name, Py_ssize_t start) except? NULL:
        """The first field called `name` from number `start` on, or NULL without an error set."""
        cdef Py_ssize_t size, i, k
        cdef const char *wanted
        cdef const char *found
        cdef const Field *field
        if not PyUnicode_IS_COMPACT_ASCII(name):
            return NULL
        wanted = <const char *> PyUnicode_DATA(name)
        size = len(name)
        for i in range(start, self.point.info.n_fields):
            field = &self.point.fields[i]
            if field.name_length != size:
                continue
            found = self.point.base + field.name_at
            k = 0
            while k < size and LOWER[<uint8_t> found[k]] == LOWER[<uint8_t> wanted[k]]:
                k += 1
            if k == size:
                return field
        return NULL

    def get(self, str name not None, default=None):
        """The first value of `name`, or `default`."""
        cdef const Field *field = self.lookup(name, 0)
        if field == NULL:
            return default
        return PyUnicode_DecodeLatin1(self.point.base + field.value_at, field.value_length, NULL)

    def __getitem__(self, str name not None):
        cdef const Field *field = self.lookup(name, 0)
        if field == NULL:
            raise KeyError(name)
        return PyUnicode_DecodeLatin1(self.point.base + field.value_at, field.value_length, NULL)

    def __contains__(self, name):
        return isinstance(name, str) and self.lookup(name, 0) != NULL

    def __len__(self):
        """Number of fields, repeated names counted each time."""
        return self.point.info.n_fields

    def __iter__(self):
        return iter(self.keys())

    def getall(self, str name not None):
        """Every value of `name`, in order; an empty list when there is none."""
        cdef const Field *field = self.lookup(name, 0)
        cdef list values = []
        while field != NULL:
            values.append(PyUnicode_DecodeLatin1(self.point.base + field.value_at, field.value_length, NULL))
            field = self.lookup(name, field - self.point.fields + 1)
        return values

    def keys(self):
        """Names in order, each once."""
        cdef Py_ssize_t i
        cdef const Field *field
        cdef dict names = {}
        for i in range(self.point.info.n_fields):
            field = &self.point.fields[i]
            names[field_name_text(self.point.base + field.name_at, field.name_length)] = None
        return list(names)

    def values(self):
        """The values of all fields in order."""
        return [value for _, value in self.items()]

    def items(self):
        """``(name, value)`` of all fields in order, repeated names each time."""
        cdef Py_ssize_t i
        cdef const Field *field
        cdef list pairs = []
        for i in range(self.point.info.n_fields):
            field = &self.point.fields[i]
            pairs.append((
                field_name_text(self.point.base + field.name_at, field.name_length),
                PyUnicode_DecodeLatin1(self.point.base + field.value_at, field.value_length, NULL),
            ))
        return pairs

    def to_dict(self):
        """A plain dict of lower-case names; repeated fields joined by ``", "`` (RFC 9110 5.3), cookies by ``"; "``."""
        cdef Py_ssize_t i
        cdef const Field *field
        cdef dict fields = {}
        cdef str name, value
        for i in range(self.point.info.n_fields):
            field = &self.point.fields[i]
            name = field_name_text(self.point.base + field.name_at, field.name_length)
            value = PyUnicode_DecodeLatin1(self.point.base + field.value_at, field.value_length, NULL)
            if name in fields:
                value = (<str> fields[name]) + ("; " if name == "cookie" else ", ") + value
            fields[name] = value
        return fields

    def __eq__(self, other):
        if isinstance(other, Headers):
            return self.items() == other.items()
        if isinstance(other, dict):
            return self.to_dict() == other
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        return f"Headers({self.items()!r})"


@cython.no_gc
cdef class HeadPoint(Point):
    """A point with header fields: base of `RequestPoint`; not for use by itself."""

    cdef int lay_out_headers(self) except -1:
        """Bring headers given by hand into the form parsed ones have."""
        cdef bytes owner
        cdef Field *table
        cdef char *block
        cdef Py_ssize_t at, count
        given = self.given_headers
        pairs = []
        for name, value in (given.items() if hasattr(given, "items") else given):
            try:
                raw_name = _bytes_of(name)
                raw_value = _bytes_of(value).strip(b" \t")
            except (TypeError, UnicodeEncodeError) as error:
                raise UsageError(f"header {name!r}: {value!r} is malformed: {error}") from None
            if not scan_is_token(raw_name, len(raw_name)) or not scan_is_value(raw_value, len(raw_value)):
                raise UsageError(f"header {name!r}: {value!r} is malformed")
            pairs.append((raw_name, raw_value))
        target = PyBytes_FromStringAndSize(self.base, self.info.target_length)
        size = len(target) + sum(len(name) + len(value) for name, value in pairs)
        count = len(pairs)
        if count > MAX_FIELDS or size > MAX_HEAD_BYTES:
            raise UsageError(f"{count} headers in {size} bytes; at most {MAX_FIELDS} in {MAX_HEAD_BYTES} are allowed")
        owner = PyBytes_FromStringAndSize(NULL, count * sizeof(Field) + size)
        table = <Field *> PyBytes_AS_STRING(owner)
        block = PyBytes_AS_STRING(owner) + count * sizeof(Field)
        at = len(target)
        memcpy(block, PyBytes_AS_STRING(target), at)
        for i, (raw_name, raw_value) in enumerate(pairs):
            memcpy(block + at, PyBytes_AS_STRING(raw_name), len(raw_name))
            table[<Py_ssize_t> i].name_at = <uint16_t> at
            table[<Py_ssize_t> i].name_length = <uint16_t> len(raw_name)
            at += len(raw_name)
            memcpy(block + at, PyBytes_AS_STRING(raw_value), len(raw_value))
            table[<Py_ssize_t> i].value_at = <uint16_t> at
            table[<Py_ssize_t> i].value_length = <uint16_t> len(raw_value)
            at += len(raw_value)
        self.owner = owner
        self.base = block
        self.fields = table
        self.info.n_fields = <uint16_t> count
        self.info.length = <uint16_t> size
        self.info.minor = 1
        self.given_headers = None
        return 0
