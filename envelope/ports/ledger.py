"""The ledger: the durable memory of effects, approvals and of who shall not be written to.

It is part of the journal's database: an intent is committed under the fence of its run, together
with the approval that it consumes. Times are seconds since 1970 by the journal's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from envelope.approval import ApprovalState
from envelope.effect import EffectState, Missing, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyCap:
    """At most `count` effects per recipient and channel within the last `seconds`."""

    count: int
    seconds: float


Rules = Callable[[float], Sequence[Missing]]
"""Says what keeps an effect back at a time, in seconds since 1970 by the journal's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An effect that is about to happen.

    Attributes:
        key: Names the act within its tenant; two acts of one key never both happen.
        epoch: Fence of a step that its run's own process executes.
        executor, attempt: Fence of a step that came from the agent's queue: the attempt is that of
            its claim (`StepClaim.step.attempt`), not of a repetition within that.
        nonce: Names the attempt, so that a repetition of the same intent, whose answer was lost, is
            known from another attempt; None where it is never repeated.
        rules: What the settings say, asked within the transaction, though not of an effect that
            happened; None where nothing needs to be asked.
        cap: How often a recipient may be reached; None for no limit.
        approval_role: Whose approval is consumed; None where none is needed.
        undo: Whether it is part of a compensation, which may begin in a cancelled run. A step of
            kind `undo` in the journal says so itself.
    """

    key: str
    run_id: str
    step: str
    attempt: int
    tenant: str
    channel: str
    recipients: Sequence[str]
    content_sha256: str
    title: str = ""
    deduplicates: bool = False
    epoch: int | None = None
    executor: str | None = None
    nonce: str | None = None
    rules: Rules | None = None
    cap: FrequencyCap | None = None
    approval_role: str | None = None
    undo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """An effect as the ledger has it.

    Attributes:
        run_id, step: Where it was begun last.
        tries: How often it was begun.
        intended_at: When it was begun last.
        unresolved: Whether it was begun while nobody knew of an earlier attempt: that nothing was
            sent this time does not say that it never happened.
        receipt: What the receiver answered, of one that was sent.
        reason: Why it failed, or why nobody knows.
        settled_by: The person who settled what was unknown.
    """

    key: str
    tenant: str
    run_id: str
    step: str
    channel: str
    recipients: Sequence[str]
    content_sha256: str
    title: str
    deduplicates: bool
    state: EffectState
    tries: int
    intended_at: float
    concluded_at: float | None = None
    unresolved: bool = False
    approval_id: str | None = None
    receipt: Receipt = field(default_factory=dict)
    reason: str | None = None
    settled_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """What the ledger answers to an intent.

    Attributes:
        go: Whether to send now, under the effect's key.
        effect: The effect as it now stands; None where `missing` kept it back and it was never
            begun. With `go` False it was `sent` before, or is `unknown`.
        missing: What keeps it back: by `Intent.rules`, `suppressed`, `frequency`, `approval`. Of an
            effect that is `intended`, nobody knows how an earlier attempt ended.
    """

    go: bool
    effect: EffectRow | None = None
    missing: Sequence[Missing] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """How an attempt at an effect ended: `sent`, `failed` or `unknown`.

    Attributes:
        tries: `EffectRow.tries` of the attempt: what an older attempt concludes late counts only
            where it says `sent`, for that is then the truth.
    """

    key: str
    tenant: str
    tries: int
    state: EffectState
    receipt: Receipt = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFilter:
    """Which effects to list; None means any."""

    tenant: str | None = None
    state: EffectState | None = None
    channel: str | None = None
    run_id: str | None = None
    recipient: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApproval:
    """A run's request for a person's consent; asking again under one id changes nothing.

    Attributes:
        approval_id: Made of the run and the place in its flow, so that a replay asks for the same.
        requester: The user whom the run is for; that one may not consent.
    """

    approval_id: str
    run_id: str
    epoch: int | None
    tenant: str
    requester: str | None
    channel: str
    content: str
    content_sha256: str
    title: str
    role: str
    expires_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """An approval as the ledger has it; `state` is `expired` as soon as its time is over."""

    approval_id: str
    run_id: str
    tenant: str
    requester: str | None
    channel: str
    content: str
    content_sha256: str
    title: str
    role: str
    state: ApprovalState
    asked_at: float
    expires_at: float
    decided_by: str | None = None
    decided_at: float | None = None
    reason: str = ""
    consumed_by: str | None = None
    consumed_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person says to an approval.

    Attributes:
        content_sha256: Hash of what the person was shown; another content is not decided upon.
        by: The person. Whether they have the role is the caller's to check.
    """

    approval_id: str
    tenant: str | None
    approve: bool
    content_sha256: str
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFilter:
    """Which approvals to list; None means any.

    Attributes:
        contents: Whether `content` is wanted; without, it is empty.
    """

    tenant: str | None = None
    state: ApprovalState | None = None
    run_id: str | None = None
    channel: str | None = None
    content_sha256: str | None = None
    limit: int = 50
    contents: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """A recipient who shall not be reached on a channel; channel `*` means any."""

    tenant: str
    channel: str
    recipient: str
    reason: str = ""
    by: str = ""
    at: float = 0.0


class Ledger(Protocol):
    """Implemented by every journal. All methods raise `JournalUnavailable` when it is away."""

    async def now(self) -> float:
        """Return the time by the journal's clock, in seconds since 1970."""

    async def intend(self, intent: Intent) -> Intended:
        """Commit that an effect is about to happen, unless something keeps it back.

        In one transaction: the fence is checked, the intent's rules and the recipients'
        suppressions and cap are looked at, an approval of exactly this content that is approved,
        unexpired, unused and of the wanted role is consumed, and the effect is entered as
        `intended`.

        An effect of this key that exists is answered so: `sent`, `refused` or `unknown` as it is,
        without `go`. `failed`: begun anew, under all the rules. `intended` by this very attempt, as
        the nonce says: it goes. `intended` by another of this step, or by a sender that is lost
        (the fence says so): where the receiver deduplicates it goes again under the same key, under
        all the rules but the cap, as long as its approval lasts; otherwise it becomes `unknown`.

        Raises:
            NotSent: Another step is sending it; its outcome is to be waited for.
            Fenced: The step or run is not the caller's any more.
            Cancelled: The run shall be cancelled; nothing new may begin (`undo` steps may).
            EffectConflict: The key was used for another content, channel or recipient.
        """

    async def conclude(self, conclusion: Conclusion) -> EffectRow:
        """Commit how an attempt ended. No fence: what happened is true whoever says it.

        An effect that was sent stays so.

        Raises:
            UnknownEffect: There is no such effect.
        """

    async def effect(self, tenant: str, key: str) -> EffectRow | None:
        """Return an effect."""

    async def effects(self, matching: EffectFilter) -> Sequence[EffectRow]:
        """Return effects, newest first."""

    async def settle_effect(
        self, tenant: str, key: str, state: EffectState, *, by: str, reason: str = ""
    ) -> EffectRow:
        """Settle by hand, as `sent` or `failed`, an effect of which nobody knows.

        That is one that is `unknown`, or `intended` by a sender that is lost, its run's end
        included.

        Raises:
            UnknownEffect: There is no such effect.
            EffectConflict: It is neither; the message says what it is.
        """

    async def reached(
        self,
        tenant: str,
        channel: str,
        recipients: Sequence[str],
        seconds: float,
        *,
        but: str | None = None,
    ) -> Mapping[str, int]:
        """Return how often each was reached (`intended`, `sent`, `unknown`) in the last seconds.

        `but` is the key of an effect that does not count.
        """

    async def ask_approval(self, new: NewApproval) -> ApprovalRow:
        """Enter a request, with the event `run.approval_requested`, or return the one of that id.

        Raises:
            Fenced: The run is not the caller's any more.
        """

    async def approval(self, approval_id: str) -> ApprovalRow | None:
        """Return an approval."""

    async def approvals(self, matching: ApprovalFilter) -> Sequence[ApprovalRow]:
        """Return approvals, newest first."""

    async def decide(self, decision: Decision) -> ApprovalRow:
        """Approve or reject, and send the run the signal `approval_signal(approval_id)`.

        A run that waits for it is queued in the same transaction; its message is still to be sent.

        Raises:
            UnknownApproval: There is no such approval for that tenant.
            ApprovalRefused: It is decided or expired, its run has ended, its content is another
                one, or the one who decides is the requester.
        """

    async def suppress(self, suppression: Suppression) -> None:
        """Keep a recipient from being reached; again for the same one replaces the reason."""

    async def unsuppress(self, tenant: str, channel: str, recipient: str) -> bool:
        """Let a recipient be reached again; False where that was so."""

    async def suppressions(
        self,
        tenant: str,
        *,
        channel: str | None = None,
        recipients: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> Sequence[Suppression]:
        """Return the suppressions of a tenant, by recipient; with `recipients`, those that concern
        them. With `channel`, those that concern it, the ones of any channel (`*`) included.
        """


RESERVED_SIGNALS = "muster."


def approval_signal(approval_id: str) -> str:
    """Return the name of the signal that tells a run of a decision.

    Its data is a JSON object: `approval_id`, `state` (`approved` or `rejected`), `by`, `at`,
    `expires_at`, `reason`, `sha256` (of the content).
    """
    return f"{RESERVED_SIGNALS}approval.{approval_id}"
