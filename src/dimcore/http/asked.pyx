"""What is left of a request for the messages of what outlives it: an app that goes on, a WebSocket."""

cimport cython


@cython.final
cdef class Asked:
    """What a message says of a request that is over; the names are those of RequestPoint."""

    def __init__(self, str request_id not None, str method not None, str raw_target not None, client_ip):
        self.request_id = request_id
        self.method = method
        self.raw_target = raw_target
        self.client_ip = client_ip
