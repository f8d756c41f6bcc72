"""Loads, stores and fences for memory that other processes read and write at the same time.

A load acquires and a store releases: whoever sees the value also sees what was written before it.
"""
from libc.stdint cimport int64_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #define DIMCORE_LOAD(at) __atomic_load_n((at), __ATOMIC_ACQUIRE)
    #define DIMCORE_STORE(at, value) __atomic_store_n((at), (value), __ATOMIC_RELEASE)
    #define DIMCORE_RELEASE() __atomic_thread_fence(__ATOMIC_RELEASE)
    #define DIMCORE_ACQUIRE() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    """
    uint64_t load_u64 "DIMCORE_LOAD"(const uint64_t *at) noexcept
    int64_t load_i64 "DIMCORE_LOAD"(const int64_t *at) noexcept
    void store_u64 "DIMCORE_STORE"(uint64_t *at, uint64_t value) noexcept
    void store_i64 "DIMCORE_STORE"(int64_t *at, int64_t value) noexcept
    void release_fence "DIMCORE_RELEASE"() noexcept
    void acquire_fence "DIMCORE_ACQUIRE"() noexcept
