"""The ledger's part of the working set: effects, approvals, suppressions, and what they need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from envelope.effect import EffectState
from envelope.ports.ledger import ApprovalRow, EffectRow, Suppression

EffectKey = tuple[str, str]
"""Tenant and key of an effect."""

Place = tuple[str, str, str]
"""Tenant, channel and recipient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEntry:
    """An effect and the fence of the attempt that began it last.

    Attributes:
        attempt, executor: Where the step came from the agent's queue.
        epoch: Where the run's own process executed it.
        nonce: Names that attempt.
    """

    effect: EffectRow
    attempt: int
    epoch: int | None = None
    executor: str | None = None
    nonce: str | None = None

    @property
    def name(self) -> EffectKey:
        """What the ledger knows it by."""
        return self.effect.tenant, self.effect.key

    @property
    def reached_at(self) -> float | None:
        """When it reached its recipients, as far as anybody knows; None where it did not."""
        happened = self.effect.state not in {EffectState.FAILED, EffectState.REFUSED}
        return self.effect.intended_at if happened else None

    @property
    def places(self) -> Iterable[Place]:
        """Whom it concerns, and where."""
        effect = self.effect
        return [(effect.tenant, effect.channel, recipient) for recipient in effect.recipients]


@dataclass(slots=True)
class LedgerNeeds:
    """What the operations of a batch have to know of the ledger.

    Attributes:
        effects: Effects to be locked, with the run and the step that began each last.
        approvals: Approvals to be locked.
        decisions: The same, with their runs and the signals of these.
        consents: Tenants and hashes of contents whose approvals may be used.
        recipients: Tenants and recipients whose suppressions count.
        reached: For how many seconds back the effects of a place count; it is locked.
    """

    effects: set[EffectKey] = field(default_factory=set)
    approvals: set[str] = field(default_factory=set)
    decisions: set[str] = field(default_factory=set)
    consents: set[tuple[str, str]] = field(default_factory=set)
    recipients: set[tuple[str, str]] = field(default_factory=set)
    reached: dict[Place, float] = field(default_factory=dict)

    def look_back(self, place: Place, seconds: float) -> None:
        """Name a place, and for how many seconds back its effects count."""
        self.reached[place] = max(seconds, self.reached.get(place, 0.0))


@dataclass(slots=True)
class LedgerChanges:
    """What the rules changed. `reached` says of known effects when they reached their recipients
    where that changed.
    """

    new_effects: dict[EffectKey, EffectEntry] = field(default_factory=dict)
    effects: dict[EffectKey, EffectEntry] = field(default_factory=dict)
    reached: dict[EffectKey, float | None] = field(default_factory=dict)
    new_approvals: dict[str, ApprovalRow] = field(default_factory=dict)
    approvals: dict[str, ApprovalRow] = field(default_factory=dict)


@dataclass(slots=True)
class LedgerBook:
    """The ledger's rows by name. `content` of an approval is empty where SQL loaded it for a rule.

    Attributes:
        consents: Ids of approvals by tenant and hash of the content.
        reached: By place, when each effect reached it.
    """

    effects: dict[EffectKey, EffectEntry] = field(default_factory=dict)
    approvals: dict[str, ApprovalRow] = field(default_factory=dict)
    consents: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    suppressions: dict[Place, Suppression] = field(default_factory=dict)
    reached: dict[Place, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    changes: LedgerChanges = field(default_factory=LedgerChanges)

    def write_effect(self, entry: EffectEntry) -> None:
        """Enter an effect, or put it in place of what was known of it."""
        name, before = entry.name, self.effects.get(entry.name)
        self.effects[name] = entry
        self._note_reached(entry)
        if before is None or name in self.changes.new_effects:
            self.changes.new_effects[name] = entry
            return
        self.changes.effects[name] = entry
        if entry.reached_at != before.reached_at:
            self.changes.reached[name] = entry.reached_at

    def write_approval(self, approval: ApprovalRow) -> None:
        """Enter an approval, or put it in place of what was known of it."""
        name = approval.approval_id
        known = name in self.approvals and name not in self.changes.new_approvals
        self.keep_approval(approval)
        changed = self.changes.approvals if known else self.changes.new_approvals
        changed[name] = approval

    def keep_approval(self, approval: ApprovalRow) -> None:
        """Put an approval where the rules find it."""
        self.approvals[approval.approval_id] = approval
        self.consents[approval.tenant, approval.content_sha256].add(approval.approval_id)

    def drain(self) -> LedgerChanges:
        """Hand over what changed and begin anew."""
        changes, self.changes = self.changes, LedgerChanges()
        return changes

    def _note_reached(self, entry: EffectEntry) -> None:
        for place in entry.places:
            if entry.reached_at is None:
                self.reached[place].pop(entry.effect.key, None)
            else:
                self.reached[place][entry.effect.key] = entry.reached_at
