"""Refuses what the ledger cannot keep, or cannot mean."""

from __future__ import annotations

from math import isfinite

from envelope.canonical import canonical_json
from envelope.effect import EffectState
from envelope.errors import InvalidInput
from envelope.ports.ledger import Conclusion, Decision, Intent, NewApproval, Suppression
from worker.journal.checking import checked_text

_KEY_BYTES = 1_500
_NAME_BYTES = 400
_APPROVAL_BYTES = 150
"""What is indexed must fit into an index: Postgres has room for 2,700 bytes in an entry."""

CONCLUSIONS = frozenset(EffectState) - {EffectState.INTENDED}
"""How an attempt can end."""

SETTLEMENTS = frozenset({EffectState.SENT, EffectState.FAILED})
"""What a person can find out."""


def checked_intent(intent: Intent) -> Intent:
    """Return `intent` if it can be stored and says whose it is."""
    what = f"Effect {intent.key!a}"
    checked_text(what, intent.run_id, intent.step, intent.executor, intent.nonce, intent.title)
    checked_text(what, intent.content_sha256, intent.approval_role)
    _check_name(what, "key", intent.key, _KEY_BYTES)
    _check_name(what, "tenant", intent.tenant, _NAME_BYTES)
    _check_name(what, "channel", intent.channel, _NAME_BYTES)
    for recipient in intent.recipients:
        _check_name(what, "recipient", recipient, _NAME_BYTES)
    if intent.epoch is None and intent.executor is None:
        raise InvalidInput(f"{what}: it carries neither an epoch nor an executor to be fenced by.")
    if intent.cap is not None and not (intent.cap.count >= 1 and isfinite(intent.cap.seconds)):
        raise InvalidInput(f"{what}: a cap needs a count of 1 or more and a number of seconds.")
    return intent


def checked_conclusion(conclusion: Conclusion) -> Conclusion:
    """Return `conclusion` if it can be stored and concludes something."""
    what = f"Effect {conclusion.key!a}"
    checked_text(what, conclusion.tenant, conclusion.key, conclusion.reason)
    canonical_json(dict(conclusion.receipt))
    if conclusion.state not in CONCLUSIONS:
        raise InvalidInput(f"{what}: an attempt ends as sent, failed or unknown.")
    return conclusion


def checked_settlement(
    tenant: str, key: str, state: EffectState, by: str, reason: str
) -> EffectState:
    """Return `state` if a person can settle an effect so."""
    what = f"Effect {key!a}"
    checked_text(what, tenant, key, by, reason)
    _check_person(what, by)
    if state not in SETTLEMENTS:
        raise InvalidInput(f"{what}: it is settled as sent or as failed.")
    return EffectState(state)


def checked_request(new: NewApproval) -> NewApproval:
    """Return `new` if it can be stored, and told to its run by a signal."""
    what = f"Approval {new.approval_id!a}"
    _check_name(what, "id", new.approval_id, _APPROVAL_BYTES)
    _check_name(what, "tenant", new.tenant, _NAME_BYTES)
    _check_name(what, "channel", new.channel, _NAME_BYTES)
    checked_text(what, new.run_id, new.requester, new.content, new.content_sha256)
    checked_text(what, new.title, new.role)
    if not (isfinite(new.expires_seconds) and new.expires_seconds > 0):
        raise InvalidInput(f"{what}: it must expire after a number of seconds above 0.")
    return new


def checked_decision(decision: Decision) -> Decision:
    """Return `decision` if it can be stored and says who decides."""
    what = f"Approval {decision.approval_id!a}"
    checked_text(what, decision.approval_id, decision.tenant, decision.content_sha256)
    checked_text(what, decision.by, decision.reason)
    _check_person(what, decision.by)
    return decision


def checked_suppression(suppression: Suppression) -> Suppression:
    """Return `suppression` if it can be stored."""
    what = f"Suppression of {suppression.recipient!a}"
    _check_name(what, "tenant", suppression.tenant, _NAME_BYTES)
    _check_name(what, "channel", suppression.channel, _NAME_BYTES)
    _check_name(what, "recipient", suppression.recipient, _NAME_BYTES)
    checked_text(what, suppression.reason, suppression.by)
    return suppression


def _check_name(what: str, part: str, name: str, most: int) -> None:
    checked_text(what, name)
    if not name:
        raise InvalidInput(f"{what}: the {part} is empty.")
    if len(name.encode()) > most:
        raise InvalidInput(f"{what}: the {part} is longer than {most:,} bytes. Shorten it.")


def _check_person(what: str, by: str) -> None:
    if not by.strip():
        raise InvalidInput(f"{what}: say who decides.")
