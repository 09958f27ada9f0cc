"""Finds a run by its id or by a unique beginning of it."""

from __future__ import annotations

from envelope.errors import InvalidInput, UnknownRun
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Run, RunFilter

_SHORTEST = 4
_FULL = 36
_PAGE = 500
_PAGES = 20
_MOST_NAMED = 5


async def find_run(journal: Journal, name: str) -> Run:
    """Return the run whose id is `name` or, among the newest 10,000, begins or ends with it.

    Ids of runs accepted close to each other begin alike, so an ending is often the shorter name.

    Raises:
        UnknownRun: There is none.
        InvalidInput: There are several; the message lists some.
    """
    exact = await journal.run(name) if name.isprintable() and name else None
    if exact is not None:
        return exact
    name = name.strip().lower()
    if len(name) >= _FULL or not name.isascii():
        raise UnknownRun(f"There is no run {name!r}. `muster runs list` shows the newest ones.")
    if len(name) < _SHORTEST:
        raise InvalidInput(f"Name a run by at least {_SHORTEST} characters of its id.")
    return _only(name, await _like(journal, name))


async def _like(journal: Journal, name: str) -> list[Run]:
    found: list[Run] = []
    before = None
    for _ in range(_PAGES):
        page = await journal.runs(RunFilter(before=before, limit=_PAGE))
        found += [run for run in page if run.run_id.startswith(name) or run.run_id.endswith(name)]
        if len(page) < _PAGE:
            break
        before = page[-1].run_id
    return found


def _only(name: str, found: list[Run]) -> Run:
    if not found:
        raise UnknownRun(
            f"No run's id begins or ends with {name!r}. `muster runs list` shows the newest ones."
        )
    if len(found) > 1:
        some = ", ".join(run.run_id for run in found[:_MOST_NAMED])
        raise InvalidInput(f"{name!r} names {len(found)} runs, among them {some}. Say more of it.")
    return found[0]
