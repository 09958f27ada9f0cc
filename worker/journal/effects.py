"""How an effect begins: the intent is committed before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from envelope.approval import ApprovalState
from envelope.effect import EffectState, Missing
from envelope.errors import Cancelled, EffectConflict, Fenced, NotSent
from envelope.events import EventType
from envelope.ports.journal_rows import RunState, StepState
from envelope.ports.ledger import ApprovalRow, EffectRow, Intended, Intent
from worker.journal.book import Book, Needs
from worker.journal.consents import no_approval, usable_approval
from worker.journal.executing import UNDO
from worker.journal.fences import executed_step, owned_run
from worker.journal.frequency import too_often
from worker.journal.ledger_book import EffectEntry
from worker.journal.rows import RunRow
from worker.journal.suppressing import suppressed

_LOOK_AGAIN_SECONDS = 5.0
_EVENTS = {
    EffectState.INTENDED: EventType.EFFECT_INTENDED,
    EffectState.SENT: EventType.EFFECT_SENT,
    EffectState.FAILED: EventType.EFFECT_FAILED,
    EffectState.REFUSED: EventType.EFFECT_FAILED,
    EffectState.UNKNOWN: EventType.EFFECT_UNKNOWN,
}


@dataclass(slots=True)
class Intend:
    """Enter an effect as about to happen, unless something keeps it back."""

    intent: Intent

    def need(self, needs: Needs) -> None:
        """Name the run, the step, the effect of that key, and what the rules look at."""
        intent, ledger = self.intent, needs.ledger
        needs.runs.add(intent.run_id)
        needs.steps.add((intent.run_id, intent.step))
        ledger.effects.add((intent.tenant, intent.key))
        ledger.recipients.update((intent.tenant, recipient) for recipient in intent.recipients)
        if intent.approval_role is not None:
            ledger.consents.add((intent.tenant, intent.content_sha256))
        if intent.cap is not None:
            for recipient in intent.recipients:
                ledger.look_back((intent.tenant, intent.channel, recipient), intent.cap.seconds)

    def apply(self, book: Book) -> Intended:
        """Return whether to send now."""
        intent = self.intent
        run = _fenced(book, intent)
        before = book.ledger.effects.get((intent.tenant, intent.key))
        if before is None:
            return self._begin(book, run, None)
        _check_same(intent, before.effect)
        match before.effect.state:
            case EffectState.FAILED:
                return self._begin(book, run, before.effect)
            case EffectState.INTENDED:
                return self._take_over(book, run, before)
            case _:
                return Intended(go=False, effect=before.effect)

    def _begin(self, book: Book, run: RunRow, before: EffectRow | None) -> Intended:
        """Begin under all the rules."""
        return self._unless_kept_back(book, run, before, too_often(book, self.intent))

    def _take_over(self, book: Book, run: RunRow, before: EffectEntry) -> Intended:
        """Go on from an attempt of which nobody knows how it ended."""
        effect = before.effect
        if self.intent.nonce is not None and self.intent.nonce == before.nonce:
            return Intended(go=True, effect=effect)  # nothing was sent: the answer was lost
        own = (effect.run_id, effect.step) == (run.run_id, self.intent.step)
        if not own and sender_lives(book, before):
            raise NotSent(
                f"Effect {effect.key!r} is being sent by step {effect.step!r} of run "
                f"{effect.run_id} right now; its outcome is to be waited for.",
                retry_after=_LOOK_AGAIN_SECONDS,
            )
        if effect.deduplicates:
            return self._unless_kept_back(book, run, effect, ())  # the cap has counted it
        reason = "Its sender was lost between the intent and the outcome."
        lost = replace(effect, state=EffectState.UNKNOWN, reason=reason, concluded_at=book.now)
        book.ledger.write_effect(replace(before, effect=lost))
        tell_effect(book, run, lost, self.intent.step)
        return Intended(go=False, effect=lost)

    def _unless_kept_back(
        self, book: Book, run: RunRow, before: EffectRow | None, capped: Sequence[Missing]
    ) -> Intended:
        intent = self.intent
        _check_not_cancelled(book, run, intent)
        approval = None if intent.approval_role is None else usable_approval(book, intent, before)
        by_settings = intent.rules(book.now) if intent.rules else ()
        missing = [*by_settings, *suppressed(book, intent), *capped]
        if intent.approval_role is not None and approval is None:
            missing.append(no_approval(intent))
        if missing:
            return Intended(go=False, effect=before, missing=missing)
        if approval is not None:
            _consume(book, approval, intent.key)
        return self._go(book, run, before, approval)

    def _go(
        self, book: Book, run: RunRow, before: EffectRow | None, approval: ApprovalRow | None
    ) -> Intended:
        intent = self.intent
        unresolved = before is not None and before.state is EffectState.INTENDED
        used_before = before.approval_id if before and unresolved else None
        effect = EffectRow(
            key=intent.key,
            tenant=intent.tenant,
            run_id=intent.run_id,
            step=intent.step,
            channel=intent.channel,
            recipients=tuple(dict.fromkeys(intent.recipients)),
            content_sha256=intent.content_sha256,
            title=intent.title,
            deduplicates=intent.deduplicates,
            state=EffectState.INTENDED,
            tries=before.tries + 1 if before else 1,
            intended_at=book.now,
            unresolved=unresolved,
            approval_id=approval.approval_id if approval else used_before,
        )
        book.ledger.write_effect(
            EffectEntry(
                effect=effect,
                attempt=intent.attempt,
                epoch=intent.epoch,
                executor=intent.executor,
                nonce=intent.nonce,
            )
        )
        tell_effect(book, run, effect, intent.step)
        return Intended(go=True, effect=effect)


def sender_lives(book: Book, entry: EffectEntry) -> bool:
    """Whether the attempt that began an effect may still be at it, as far as its fence says."""
    effect = entry.effect
    run, step = book.runs.get(effect.run_id), book.steps.get((effect.run_id, effect.step))
    if run is None or run.ended or (step is not None and step.settled):
        return False
    if entry.epoch is not None:
        return run.state is RunState.RUNNING and run.epoch == entry.epoch
    if step is None or step.state is not StepState.RUNNING:
        return False
    return (step.attempt, step.executor) == (entry.attempt, entry.executor)


def tell_effect(book: Book, run: RunRow, effect: EffectRow, step: str) -> None:
    """Append the event of an effect's state to a run that has not ended."""
    if run.ended:
        return
    book.tell(
        run,
        _EVENTS[effect.state],
        step=step,
        key=effect.key,
        channel=effect.channel,
        state=effect.state.value,
        tries=effect.tries,
    )


def _fenced(book: Book, intent: Intent) -> RunRow:
    name = (intent.run_id, intent.step)
    run, step = book.runs.get(intent.run_id), book.steps.get(name)
    if intent.executor is not None:
        run, step = executed_step(name, intent.attempt, intent.executor, run, step)
    if intent.epoch is not None:
        run = owned_run(intent.run_id, intent.epoch, run)
    assert run is not None  # noqa: S101 - an intent without any fence is refused before
    if step is not None and step.settled:
        raise Fenced(f"Step {step.step!r} of run {run.run_id} is settled; nothing was written.")
    return run


def _check_same(intent: Intent, effect: EffectRow) -> None:
    asked = (intent.content_sha256, intent.channel, set(intent.recipients))
    if asked != (effect.content_sha256, effect.channel, set(effect.recipients)):
        raise EffectConflict(
            f"Key {intent.key!r} belongs to another effect on {effect.channel!r}, of step "
            f"{effect.step!r} of run {effect.run_id}: its content or recipients differ. Use a new "
            "key for a new act."
        )


def _check_not_cancelled(book: Book, run: RunRow, intent: Intent) -> None:
    if run.cancel_reason is None or intent.undo:
        return
    step = book.steps.get((intent.run_id, intent.step))
    if step is None or step.kind != UNDO:
        raise Cancelled(
            f"Run {run.run_id} shall be cancelled ({run.cancel_reason}); effect {intent.key!r} was "
            "not begun."
        )


def _consume(book: Book, approval: ApprovalRow, key: str) -> None:
    if approval.state is ApprovalState.APPROVED:
        used = replace(approval, state=ApprovalState.CONSUMED, consumed_by=key)
        book.ledger.write_approval(replace(used, consumed_at=book.now))
