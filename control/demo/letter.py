"""Which draft is sent, and to which made-up address."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.demo.results import Result, draft_of
from control.demo.settings import DOMAIN
from control.lineage import Lineage
from envelope.errors import InvalidInput

_NO_LETTERS = re.compile(r"[^a-z0-9]+")
_LONGEST = 60
_MOST_NAMED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A draft and whom it goes to.

    Attributes:
        run_id: The run that wrote the draft.
        draft: The draft's record.
        company: Whom it was written for.
        to: The address.
    """

    run_id: str
    draft: str
    company: str
    to: str


def check_symbol(leads: Sequence[Mapping[str, Any]], symbol: str | None) -> None:
    """Look whether a company is among those that are written to, before anything starts.

    Raises:
        InvalidInput: It is not; the message names some that are.
    """
    if symbol is None or any(_is_named(lead, symbol) for lead in leads):
        return
    some = ", ".join(str(lead["symbol"] or lead["company"]) for lead in leads[:_MOST_NAMED])
    raise InvalidInput(
        f"No company {symbol!r} is among the {len(leads)} of this campaign. Name one of its "
        f"symbols, such as {some}."
    )


def letter_of(results: Sequence[Result], symbol: str | None) -> Letter | None:
    """Return the first draft there is, of the company that `symbol` names where it does."""
    for result in results:
        draft = draft_of(Lineage.of(result.run, ()))
        if draft is None or (symbol is not None and not _is_named(result.lead, symbol)):
            continue
        company = str(result.lead["company"])
        return Letter(
            run_id=result.run.run_id,
            draft=draft.id,
            company=company,
            to=address_of(company, str(result.lead["symbol"])),
        )
    return None


def address_of(company: str, symbol: str) -> str:
    """Return an address that is made of a company's name, at a domain that nobody can own."""
    return f"{_plain(company) or _plain(symbol) or 'company'}@{DOMAIN}"


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _NO_LETTERS.sub("-", letters)[:_LONGEST].strip("-")


def _is_named(lead: Mapping[str, Any], symbol: str) -> bool:
    return symbol.casefold() in {str(lead["symbol"]).casefold(), str(lead["company"]).casefold()}
