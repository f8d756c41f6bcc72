from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    NAME_BYTES = 32          # of a segment's name, the NUL at its end included

# 64 bytes: | magic | size | version | unused | name | unused |
cdef struct SegmentHeader:
    uint64_t magic
    uint64_t size            # bytes behind the header
    uint32_t version         # of the layout of those bytes
    uint32_t unused
    char name[NAME_BYTES]
    uint64_t reserved


cdef class Segment:
    cdef void *mapping
    cdef void *at                # what its users have: `size` bytes, at a multiple of 64
    cdef readonly str name
    cdef readonly unsigned int version
    cdef readonly size_t size
    cdef readonly size_t bytes   # of the mapping: the header and whole pages
