"""What the core needs from the program that drives it: a loop, threads, streams, and somebody to report to."""

cimport cython

from dimcore.conn.filter cimport as_filter

from dimcore.errors import UsageError
from dimcore.http.spool import open_unnamed
from dimcore.reports import Report


def _refuse_offload(connection, request, handler):
    raise UsageError("no thread pool: this core's host has no `offload`")


def _refuse_stream(connection):
    raise UsageError("no streams: this core's host has no `open_stream`")


def _print_report(kind, request, error):
    import sys
    import traceback
    print(Report(kind), file=sys.stderr)
    if error is not None:
        traceback.print_exception(error)


def _nothing(*given):
    """In the place of the loop, in a process that has none."""


@cython.final
cdef class Host:
    """What a core is given by `Core.attach`.

    Args:
        register, modify: called with ``(fd, events, callback)``, events being 1
            (readable) and 2 (writable) or both; as ``selectors`` has them.
        unregister: called with ``(fd)``.
        mute: called with ``(fd)`` of a registered one: from now on its callback is
            called for an error or a hang-up alone.  None where the loop has no such
            thing; then the descriptor is unregistered instead.
        call_soon: called with a callable, on the loop; has it called when the events of this round are served, and
            before anything is read again.  Where it is given, answers of a round may leave together.
        from_thread: called with a callable, from any thread; has it called on the loop's.  WebSockets offer it
            to the program where it is given.
        offload: called with ``(connection, request, handler)`` for a blocking
            handler; must have ``connection.complete(request, result, error)``
            called by the loop in the end, never by `offload` itself.
        runner: runs the coroutines of async handlers; without it they are answered 500.
        open_spool: called without arguments; returns the descriptor of an empty
            temporary file for a large body.  The system's temporary directory
            when None.
        open_stream: called with ``(connection)`` when a blocking handler is to take
            its body as it arrives; returns an object with ``feed(bytes)``,
            ``end(error text)``, ``read()`` and iteration, whose backpressure is
            ``connection.pause_body`` and ``connection.resume_body``.  Where
            ``connection.body_paused`` is true at the start, nothing comes before the latter.
        open_flow: called with ``(connection, request, status, headers, async iterable)``;
            returns the coroutine that sends such a body.  Needed with `runner`.
        open_body: as `open_stream`, for a handler that is a coroutine and registered
            to take its body as it arrives.  Needed with `runner`.
        report: called with ``(Report, request or None, exception or None)``.
        access_log: `AccessLines` or another Filter, or called with ``(request, status, body bytes,
            nanoseconds)`` after each answer; None costs nothing.
        forwarded: called with ``(address, headers)`` when a handler or the access log
            asks a request who it is from; returns client address, scheme, host and
            request id, each text or None.  The connection's own when None.

    What `report` or `access_log` raises is reported and goes no further.

    Thread-safety: one core's, whose loop calls all of it.
    """

    def __init__(self, *, register, modify, unregister, mute=None, call_soon=None, from_thread=None, offload=None,
                 Runner runner=None, open_spool=None, open_stream=None, open_flow=None, open_body=None, report=None,
                 access_log=None, forwarded=None):
        self.register = register
        self.modify = modify
        self.unregister = unregister
        self.mute = mute
        self.call_soon = call_soon
        self.from_thread = from_thread
        self.offload = _refuse_offload if offload is None else offload
        self.runner = runner
        self.open_spool = open_unnamed if open_spool is None else open_spool
        self.open_stream = _refuse_stream if open_stream is None else open_stream
        self.open_flow = open_flow
        self.open_body = open_body
        self.report = _print_report if report is None else report
        self.access_log = as_filter(access_log)
        self.forwarded = forwarded


def absent_host():
    """The Host of a process that has no loop: nothing is watched, and reports are printed."""
    return Host(register=_nothing, modify=_nothing, unregister=_nothing)
