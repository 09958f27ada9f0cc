"""How permits are named in Redis and in notices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

Name = tuple[str, str]
"""A permit: the agent, and `<run>:<step>`; all three percent-quoted."""

_NOTICE = "permit"
_WORDS = 7


@dataclass(frozen=True, slots=True)
class Grant:
    """What a desk is told: the ask with this ticket has the permit since then (microseconds)."""

    name: Name
    ticket: int
    since: int


@lru_cache(maxsize=8192)  # the same few names are asked for several times in each step
def quoted(text: str) -> str:
    """Quote what users choose, so that it cannot be taken for a separator."""
    return quote(text, safe="")


def name_of(agent: str, run_id: str, step: str) -> Name:
    """Name the permit of a step."""
    return quoted(agent), f"{quoted(run_id)}:{quoted(step)}"


def run_and_step(permit: str) -> tuple[str, str]:
    """Return the run and the step that a permit is for."""
    run_id, _, step = permit.partition(":")
    return unquote(run_id), unquote(step)


def read_notice(notice: str, era: str) -> Grant | None:
    """Read `permit <agent> <run> <step> <ticket> <since> <era>`.

    Returns:
        None where it is something else, or of another era: it came late, and may be forgotten.
    """
    words = notice.split(" ")
    if len(words) != _WORDS or words[0] != _NOTICE or words[-1] != era:
        return None
    _, agent, run_id, step, ticket, since, _ = words
    return Grant((agent, f"{run_id}:{step}"), int(ticket), int(since))
