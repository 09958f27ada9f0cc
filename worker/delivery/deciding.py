"""Whether people may decide in this process."""

from __future__ import annotations

from threading import Event

_EXECUTES_AGENTS = Event()


def leave_decisions_to_others() -> None:
    """Say, once and for good, that this process executes agents and that no person sits at it.

    An agent may start threads, which nothing tells from a person's: so a worker decides nothing.
    """
    _EXECUTES_AGENTS.set()


def people_decide_here() -> bool:
    """Whether the process is one where a person may decide."""
    return not _EXECUTES_AGENTS.is_set()
