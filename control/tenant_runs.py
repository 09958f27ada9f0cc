"""Finds a run for somebody who may know of one tenant's runs alone."""

from __future__ import annotations

from control.run_lookup import find_run
from envelope.errors import InvalidInput, UnknownRun
from envelope.ports.journal import Journal


async def run_id_of(journal: Journal, name: str, tenant: str | None) -> str:
    """Return the id of the run that `find_run` finds, if it is the tenant's; None means any.

    Raises:
        UnknownRun: The tenant has none of that name, or the name is not clear: which runs others
            have is told to nobody.
        InvalidInput: For any tenant: the name is too short, or several runs have it.
    """
    if tenant is None:
        return (await find_run(journal, name)).run_id
    try:
        run = await find_run(journal, name)
    except (UnknownRun, InvalidInput):
        run = None
    if run is None or run.tenant != tenant:
        raise UnknownRun(
            f"Tenant {tenant!r} has no run {name!r}. Name it by its full id; `muster runs list` "
            "shows the newest."
        )
    return run.run_id
