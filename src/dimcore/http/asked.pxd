cdef class Asked:
    cdef readonly str request_id
    cdef readonly str method
    cdef readonly str raw_target
    cdef readonly object client_ip
