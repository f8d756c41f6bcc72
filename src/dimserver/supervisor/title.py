"""What `ps` and `top` show of each process of the server, so that they can be told apart."""

from __future__ import annotations

from dimcore import set_process_title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.supervisor.slots import Generation

__all__ = ["entitle", "title"]

PROGRAM = "dimserver"


def title(role: str, generation: Generation) -> str:
    """For example ``dimserver: worker 2 shop:app``; without an app the directory of static files is named."""
    what = generation.target or str(generation.values.get("static") or "")
    words = f"{PROGRAM}: {role} {what}".rstrip()
    return "".join(each if each.isprintable() else "?" for each in words)


def entitle(role: str, suffix: str, generation: Generation) -> bool:
    """Give this process its title, as far as the system has such a thing.

    Args:
        role: in the title, for example ``worker 2``.
        suffix: to the process's name, which has room for 15 bytes: no spaces, which would lead readers of
            /proc/PID/stat astray.
        generation: names what is served.

    Returns:
        Whether the system shows it.

    Thread-safety: as for `dimcore.set_process_title`.
    """
    return set_process_title(title(role, generation), PROGRAM + suffix)
