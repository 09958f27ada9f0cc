"""Steps in: cancels a run together with what it started, and sends signals to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from control.dispatch import Dispatcher, hint_of
from control.outcome import has_ended
from control.run_pages import ACTIVE_STATES, every_run
from envelope.canonical import canonical_json
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import (
    Run,
    RunFilter,
    RunState,
    Signalled,
)
from envelope.ports.ledger import RESERVED_SIGNALS
from envelope.signature import check_bytes
from worker.backend import Backend
from worker.engine.notices import CANCEL_NOTICE, SIGNAL_NOTICE, tell_watchers
from worker.redaction import Redactor

LONGEST_NAME = 200
_EXCERPT = 60


class Steering:
    """Acts on runs over one backend, and tells the workers that hold them.

    What a lost message or notice leaves undone, the workers make good by themselves.
    """

    def __init__(self, backend: Backend, dispatcher: Dispatcher) -> None:
        self._journal = backend.journal
        self._wakeups = backend.wakeups
        self._data_max_bytes = backend.settings.payload_max_bytes
        self._dispatcher = dispatcher
        self._redactor = Redactor(backend.settings.secrets())

    async def cancel(self, run_id: str, reason: str) -> Run | None:
        """Cancel a run and its descendants, and return the run; None when it is unknown.

        Those that wait are sent to a worker, which lets them compensate.
        """
        run = await self._journal.cancel(run_id, self._redactor.text(reason))
        if run is None:
            return None
        family = [run, *[child async for child in self._descendants(run)]]
        for member in family:
            self._tell(member, CANCEL_NOTICE)
        await self._dispatcher.send([hint_of(member) for member in family if _compensates(member)])
        return run

    async def signal(self, run_id: str, name: str, data: Any) -> Signalled:
        """Keep a signal for the run, and wake it if it waits for that; see `AsyncRun.signal`."""
        _check_name(name)
        text = canonical_json(data)
        check_bytes(text, self._data_max_bytes, "The signal's data")
        signalled = await self._journal.signal(run_id, name, text)
        self._tell(signalled.run, f"{SIGNAL_NOTICE} {run_id}")
        if signalled.woken:
            await self._dispatcher.send([hint_of(signalled.run)])
        return signalled

    async def tell_of_decision(self, run_id: str) -> None:
        """Get a run under way whose approval was decided, or tell the worker that holds it."""
        run = await self._journal.run(run_id)
        if run is None:
            return
        self._tell(run, f"{SIGNAL_NOTICE} {run_id}")
        if run.state is RunState.QUEUED:
            await self._dispatcher.send([hint_of(run)])

    async def wake(self, run_id: str) -> None:
        """Get a waiting run under way now if what it waits for has come."""
        await self._dispatcher.send(await self._journal.wake(1, [run_id]))

    def _tell(self, run: Run, notice: str) -> None:
        """Tell the run's owner, and whoever watches the run."""
        if run.state is RunState.RUNNING and run.owner is not None:
            self._wakeups.notify(run.owner, notice)
        tell_watchers(self._wakeups, run.run_id, run.state)

    async def _descendants(self, run: Run) -> AsyncIterator[Run]:
        """Yield what the run started, and what that started, as far as it has not ended."""
        parents = [] if has_ended(run) else [run.run_id]
        while parents:
            which = RunFilter(states=ACTIVE_STATES, parent_id=parents.pop())
            async for child in every_run(self._journal, which):
                parents.append(child.run_id)
                yield child


def _compensates(run: Run) -> bool:
    return run.state is RunState.QUEUED and run.cancel_reason is not None


def _check_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput(
            f"A signal's name is 1 to {LONGEST_NAME} printable characters, not {name[:_EXCERPT]!r}."
        )
    if name.startswith(RESERVED_SIGNALS):
        raise InvalidInput(
            f"Signals whose names begin with {RESERVED_SIGNALS!r} are the engine's own. Decide on "
            "an approval with `muster approvals approve` or `reject`."
        )
