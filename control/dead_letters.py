"""Dead letters: runs that ended badly, in groups by cause, and their replay one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from control.async_manager import AsyncCampaignManager
from control.replay import check_extent, replay_run
from control.run_lookup import find_run
from control.run_pages import every_run
from envelope.errors import InvalidInput, MusterError, Unavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Run, RunFilter, RunState

DEAD_STATES = frozenset({RunState.FAILED, RunState.DEAD})


class Outcome(StrEnum):
    """What became of one dead letter.

    `skipped`: it was replayed before, or is replayed along with its parent. `refused`: see the
    error. `planned`: only asked about. `joined`: an active run stands for it by its singleton key.
    """

    REPLAYED = "replayed"
    JOINED = "joined"
    SKIPPED = "skipped"
    REFUSED = "refused"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One dead letter and what became of it.

    Attributes:
        run_id: The dead letter.
        flow: Its flow.
        outcome: What became of it.
        replayed_as: The run that repeats or stands for it, where there is one.
        code, message: Why it was skipped or refused.
        notice: Why the new run is not on its way yet.
    """

    run_id: str
    flow: str
    outcome: Outcome
    replayed_as: str | None = None
    code: str | None = None
    message: str | None = None
    notice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters: those named, or all that fit.

    Attributes:
        names: Runs, by id or a unique part of it. Excludes the others.
        fingerprint: Only of this cause.
        flow: Only of this flow.
        everything: All there are.
    """

    names: Sequence[str] = ()
    fingerprint: str | None = None
    flow: str | None = None
    everything: bool = False

    def checked(self) -> Self:
        """Return itself.

        Raises:
            InvalidInput: It names nothing, or two ways of choosing.
        """
        some = self.fingerprint is not None or self.flow is not None
        if self.names and (some or self.everything):
            raise InvalidInput("Name runs, or choose by fingerprint or flow, not both.")
        if self.everything and some:
            raise InvalidInput("All, or those of a fingerprint or flow: not both.")
        if not (self.names or some or self.everything):
            raise InvalidInput(
                "Name runs (`muster dead replay RUN…`), or choose with --fingerprint F, "
                "--flow NAME or --all. `muster dead list` shows what there is."
            )
        return self

    @property
    def filter(self) -> RunFilter:
        """What the journal is asked for."""
        return RunFilter(
            states=DEAD_STATES,
            flow=self.flow,
            fingerprint=self.fingerprint,
            not_replayed=True,
        )


class DeadLetters:
    """Dead letters over one campaign manager."""

    def __init__(self, manager: AsyncCampaignManager) -> None:
        self._manager = manager
        self._journal = manager.backend.journal

    async def replay(
        self,
        choice: Choice,
        *,
        keep: bool = True,
        from_step: str | None = None,
        dry_run: bool = False,
    ) -> AsyncIterator[Replayed]:
        """Replay one after the other, oldest first, and yield what became of each.

        What is wrong with one does not keep the others. A call that was cut short is repeated as it
        was: what was replayed is not replayed again.

        Raises:
            InvalidInput: The choice is none, or names no run.
            UnknownRun: There is no such run.
            JournalUnavailable: The database is away.
        """
        check_extent(keep=keep, from_step=from_step)
        for run_id in await _chosen(self._journal, choice.checked()):
            run = await self._journal.run(run_id)
            if run is None:
                continue  # it was removed meanwhile
            reason = await self._reason_to_skip(run, named=bool(choice.names))
            if reason is not None:
                yield _told(run, Outcome.SKIPPED, replayed_as=run.replayed_as, message=reason)
            elif dry_run:
                yield _told(run, Outcome.PLANNED)
            else:
                yield await self._replay(run, keep, from_step)

    async def _replay(self, run: Run, keep: bool, from_step: str | None) -> Replayed:
        try:
            made = await replay_run(self._manager, run, keep=keep, from_step=from_step)
        except Unavailable:
            raise
        except MusterError as error:
            return _told(run, Outcome.REFUSED, code=error.code, message=str(error))
        row = await made.row()
        outcome = Outcome.REPLAYED if row.replay_of == run.run_id else Outcome.JOINED
        notice = made.receipt.notice if made.receipt else None
        return _told(run, outcome, replayed_as=row.run_id, notice=notice)

    async def _reason_to_skip(self, run: Run, *, named: bool) -> str | None:
        if run.replayed_as is not None:
            return "It was replayed already."
        if run.state not in DEAD_STATES:
            return f"It is {run.state.value}. `muster runs retry` repeats any run that has ended."
        if named or run.parent_id is None:
            return None
        parent = await self._journal.run(run.parent_id)
        if parent is None or parent.state is RunState.SUCCEEDED:
            return None
        return f"It is a child of run {parent.run_id}, which starts it again when replayed."


async def _chosen(journal: Journal, choice: Choice) -> list[str]:
    """Chosen before the first is replayed, or replays that fail at once would be replayed too."""
    if choice.names:
        found = [(await find_run(journal, name)).run_id for name in choice.names]
        return list(dict.fromkeys(found))
    return [run.run_id async for run in every_run(journal, choice.filter)][::-1]


def _told(run: Run, outcome: Outcome, **more: Any) -> Replayed:
    return Replayed(run_id=run.run_id, flow=run.flow, outcome=outcome, **more)
