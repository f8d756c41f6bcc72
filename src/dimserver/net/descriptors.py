"""How many connections the limit of a process's descriptors allows (RLIMIT_NOFILE, ``ulimit -n``)."""

from __future__ import annotations

import resource

__all__ = ["allowed", "allowed_to", "raise_limit"]

OTHERS = 64  # listeners, files being sent, logs, sockets between the workers


def allowed() -> int | None:
    """Connections that fit under the limit as it is now, beside the other descriptors; None: any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(0, soft - OTHERS)


def allowed_to(connections: int) -> int | None:
    """As `allowed`, for a process that calls `raise_limit`."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(0, _reach(connections) - OTHERS)


def _reach(connections: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHERS
    return max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))


def raise_limit(connections: int) -> int | None:
    """Raise the soft limit as far as so many connections need and the hard limit lets it.

    Returns:
        As `allowed`, afterwards.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reach = _reach(connections)
    if soft != resource.RLIM_INFINITY and soft < reach:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (reach, hard))
        except (OSError, ValueError):
            pass  # what is allowed says so
    return allowed()
