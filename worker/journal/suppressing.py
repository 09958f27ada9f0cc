"""The rule that keeps effects from recipients who shall not be reached."""

from __future__ import annotations

from collections.abc import Sequence

from envelope.effect import Missing
from envelope.ports.ledger import Intent, Suppression
from worker.journal.book import Book

ANY_CHANNEL = "*"


def suppressed(book: Book, intent: Intent) -> Sequence[Missing]:
    """Return what keeps an effect back from recipients who are suppressed."""
    found = (_suppression(book, intent, recipient) for recipient in intent.recipients)
    return [_missing(suppression) for suppression in found if suppression is not None]


def _suppression(book: Book, intent: Intent, recipient: str) -> Suppression | None:
    known, tenant = book.ledger.suppressions, intent.tenant
    here = known.get((tenant, intent.channel, recipient))
    return here or known.get((tenant, ANY_CHANNEL, recipient))


def _missing(suppression: Suppression) -> Missing:
    where = "" if suppression.channel == ANY_CHANNEL else f" on {suppression.channel!r}"
    why = f" ({suppression.reason})" if suppression.reason else ""
    return Missing(
        rule="suppressed",
        message=f"{suppression.recipient} is not to be reached{where}{why}. "
        "`muster suppress remove` lifts that.",
        recipient=suppression.recipient,
    )
