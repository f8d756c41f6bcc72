from libc.stdint cimport int64_t, uint8_t

cdef enum:
    ORDERS = 64              # lists of holders: one for each number of bits that their bytes have
    LARGE_BYTES = 65536      # a holder of that many bytes or more is a large one


# What a holder can be asked.  Neither runs while the holder's own memory is looked at.
ctypedef bint (*Lags)(Holding *holding, int64_t now_ns) noexcept     # whether its peer is below its rate
ctypedef void (*End)(Holding *holding) noexcept                      # end it; what it held is released by then

cdef struct Kind:
    Lags lags
    End end

# 80 bytes: | before | after | kind | owner | bytes | since | moved | kept_until | order | side | condemned | - |
cdef struct Holding:
    Holding *before          # in the list of its order, or of those that are condemned
    Holding *after
    const Kind *kind
    void *owner              # not owned: whoever goes releases first
    int64_t bytes
    int64_t since_ns         # it began to hold something, or was last found to keep its rate
    int64_t moved            # bytes its peer had moved when that was last looked at
    int64_t kept_until_ns    # what moved pays for the rate until then
    uint8_t order
    uint8_t side             # the owner's: which way the bytes move that count
    uint8_t condemned

cdef struct Row:
    Holding *first
    Holding *last


cdef class Budget:
    cdef readonly int64_t limit      # bytes
    cdef readonly int64_t reserved   # of these, for holders below LARGE_BYTES
    cdef readonly int64_t used
    cdef readonly int64_t large      # of these, in large holders
    cdef readonly int64_t peak
    cdef readonly int64_t holders
    cdef readonly int64_t ended      # holders that had to go for others, ever
    cdef readonly int64_t refused    # growths that found no room, ever
    cdef int64_t leaving             # bytes of the condemned
    cdef int64_t leaving_large
    cdef Row rows[ORDERS]
    cdef Row condemned
    cdef bint *alarm                 # set when somebody is condemned; never NULL
    cdef bint own_alarm
    # Holders that are known by a small number, as a descriptor is: nothing in the owner points here.
    cdef Holding **table
    cdef int room

    cdef bint change(self, Holding *holding, int64_t bytes, int64_t now_ns) noexcept
    cdef void release(self, Holding *holding) noexcept
    cdef bint has_room(self, int64_t bytes, bint large) noexcept
    cdef bint fits(self, bint large) noexcept
    cdef Holding *at(self, int key) noexcept
    cdef Holding *hold_at(self, int key, void *owner, const Kind *kind) noexcept
    cdef void release_at(self, int key) noexcept
    cdef void relieve(self, int64_t now_ns) noexcept
    cdef bint make_room(self, Holding *newcomer, int64_t now_ns) noexcept
    cdef Holding *choose(self, Holding *newcomer, bint large, int64_t now_ns, int *looks) noexcept
    cdef void condemn(self, Holding *holding) noexcept


# Bytes that moved pay for a time at `rate`; what is paid in advance is `credit_ns` at most.
cdef void pay(Holding *holding, int64_t moved, int64_t rate, int64_t credit_ns, int64_t now_ns) noexcept


cdef class Holder:
    cdef readonly Budget budget
    cdef Holding holding
    cdef public bint lags
    cdef object end
