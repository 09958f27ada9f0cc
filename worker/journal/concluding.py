"""How an effect ends: as its sender says, or as a person does who looked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from envelope.effect import EffectState
from envelope.errors import EffectConflict, UnknownEffect
from envelope.ports.ledger import Conclusion, EffectRow
from worker.journal.book import Book, Needs
from worker.journal.effects import sender_lives, tell_effect
from worker.journal.ledger_book import EffectEntry

_DID_NOT_HAPPEN = frozenset({EffectState.FAILED, EffectState.REFUSED})
_OPEN = frozenset({EffectState.INTENDED, EffectState.UNKNOWN})


@dataclass(slots=True)
class Conclude:
    """Write how an attempt ended. Nothing fences it: it is true whoever says it."""

    conclusion: Conclusion

    def need(self, needs: Needs) -> None:
        """Name the effect; its run comes along with it."""
        needs.ledger.effects.add((self.conclusion.tenant, self.conclusion.key))

    def apply(self, book: Book) -> EffectRow:
        """Return the effect as it then is."""
        told = self.conclusion
        entry = _known(book, told.tenant, told.key)
        if not _counts(told, entry.effect):
            return entry.effect
        ended = replace(
            entry.effect,
            state=told.state,
            concluded_at=book.now,
            receipt=dict(told.receipt),
            reason=told.reason,
            settled_by=None,
        )
        return _write(book, entry, ended)


@dataclass(slots=True)
class Settle:
    """Write what a person found out of an effect of which nobody knew."""

    tenant: str
    key: str
    state: EffectState
    by: str
    reason: str

    def need(self, needs: Needs) -> None:
        """Name the effect; its run and its step come along with it."""
        needs.ledger.effects.add((self.tenant, self.key))

    def apply(self, book: Book) -> EffectRow:
        """Return the effect as it then is."""
        entry = _known(book, self.tenant, self.key)
        state = entry.effect.state
        if state not in _OPEN:
            raise EffectConflict(f"Effect {self.key!r} is {state.value}; nobody has to settle it.")
        if state is EffectState.INTENDED and sender_lives(book, entry):
            raise EffectConflict(
                f"Effect {self.key!r} is intended: step {entry.effect.step!r} of run "
                f"{entry.effect.run_id} is sending it. Wait for its outcome."
            )
        settled = replace(
            entry.effect,
            state=self.state,
            concluded_at=book.now,
            reason=self.reason or None,
            settled_by=self.by,
        )
        return _write(book, entry, settled)


def _known(book: Book, tenant: str, key: str) -> EffectEntry:
    entry = book.ledger.effects.get((tenant, key))
    if entry is None:
        raise UnknownEffect(f"There is no effect {key!r} of tenant {tenant!r} in the ledger.")
    return entry


def _counts(told: Conclusion, effect: EffectRow) -> bool:
    """Whether a conclusion says more than is known."""
    if effect.state is EffectState.SENT:
        return False
    if told.state is EffectState.SENT:
        return True
    if told.tries < effect.tries:
        return False
    if effect.state is EffectState.UNKNOWN:
        return told.state in _DID_NOT_HAPPEN
    return effect.state is EffectState.INTENDED


def _write(book: Book, entry: EffectEntry, effect: EffectRow) -> EffectRow:
    book.ledger.write_effect(replace(entry, effect=effect))
    run = book.runs.get(effect.run_id)
    if run is not None:
        tell_effect(book, run, effect, effect.step)
    return effect
