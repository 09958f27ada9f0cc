"""How often recipients are reached: the rule of the cap."""

from __future__ import annotations

from collections.abc import Sequence

from envelope.effect import Missing
from envelope.ports.ledger import FrequencyCap, Intent
from worker.journal.book import Book
from worker.journal.ledger_book import Place


def too_often(book: Book, intent: Intent) -> Sequence[Missing]:
    """Return what keeps an effect back from recipients who were reached often enough already."""
    if intent.cap is None:
        return ()
    found = (_missing(book, intent, intent.cap, recipient) for recipient in intent.recipients)
    return [missing for missing in found if missing is not None]


def times_reached(book: Book, place: Place, seconds: float, but: str | None = None) -> list[float]:
    """Return when a place was reached within the last seconds, oldest first.

    Args:
        book: Holds the times.
        place: Tenant, channel and recipient.
        seconds: How far back.
        but: Key of an effect that does not count.
    """
    since = book.now - seconds
    reached = book.ledger.reached.get(place, {})
    return sorted(at for key, at in reached.items() if at > since and key != but)


def _missing(book: Book, intent: Intent, cap: FrequencyCap, recipient: str) -> Missing | None:
    place = (intent.tenant, intent.channel, recipient)
    times = times_reached(book, place, cap.seconds, but=intent.key)
    if len(times) < cap.count:
        return None
    return Missing(
        rule="frequency",
        message=f"{recipient} was reached {len(times)} times on {intent.channel!r} within "
        f"{cap.seconds:g} s; the cap is {cap.count}. Wait, or raise MUSTER_DELIVERY_CAP.",
        recipient=recipient,
        until=times[-cap.count] + cap.seconds if cap.count > 0 else None,
    )
