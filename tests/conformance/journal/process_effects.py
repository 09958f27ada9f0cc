"""What processes do with a ledger: `python -m tests.conformance.journal.process_effects URL …`.

Every line printed is a fact that the ledger has confirmed before.
"""

import asyncio
import random
import sys

from envelope.effect import EffectState
from envelope.errors import ApprovalRefused, NotSent
from envelope.ports.ledger import ApprovalFilter, FrequencyCap, Intended, Intent
from tests.conformance.journal.making import Books, claimed
from tests.conformance.journal.making_effects import (
    a_conclusion,
    a_decision,
    an_intent,
    approved,
)
from tests.conformance.journal.process import say
from worker.journal.sql import SqlJournal


def recipients(number: int) -> list[str]:
    """Whom an effect reaches: some who other effects reach as well."""
    return [f"r{number % 7}", f"r{(3 * number + 1) % 7}", f"only{number}"]


async def _answer(books: Books, intent: Intent) -> Intended | None:
    """The answer, as soon as nobody else is sending it."""
    for _ in range(200):
        try:
            return await books.intend(intent)
        except NotSent:
            await asyncio.sleep(0.01)
    return None


async def send(books: Books, name: str, count: str, cap: str) -> None:
    """Send effects that others send as well, in an order of one's own."""
    claim = await claimed(books, name, run_id=f"run-{name}")
    numbers = list(range(int(count)))
    random.Random(name).shuffle(numbers)

    async def one(number: int) -> None:
        intent = an_intent(
            claim,
            f"k{number}",
            step=f"s{number}",
            recipients=recipients(number),
            cap=FrequencyCap(count=int(cap), seconds=3600),
        )
        answer = await _answer(books, intent)
        if answer is not None and answer.go and answer.effect is not None:
            say("go", intent.key)
            await books.conclude(a_conclusion(answer.effect, EffectState.SENT))

    for first in range(0, len(numbers), 10):
        await asyncio.gather(*map(one, numbers[first : first + 10]))


async def consume(books: Books, name: str, count: str) -> None:
    """Have something approved as often as others do, and use as many approvals as there are."""
    claim = await claimed(books, name, run_id=f"run-{name}")
    for number in range(int(count)):
        await approved(books, claim, approval_id=f"{name}-{number}")
        intents = [
            an_intent(claim, f"{name}-{number}-{n}", step="s", approval_role="approver")
            for n in range(3)
        ]
        for intent, answer in zip(
            intents, await asyncio.gather(*map(books.intend, intents)), strict=True
        ):
            if answer.go and answer.effect is not None:
                say("used", intent.key, answer.effect.approval_id)


async def decide(books: Books, name: str) -> None:
    """Decide whatever others decide as well."""
    rows = list(await books.approvals(ApprovalFilter(limit=1000)))
    random.Random(name).shuffle(rows)
    decisions = [a_decision(row, approve=name != "p0", by=name) for row in rows]
    answers = await asyncio.gather(*map(books.decide, decisions), return_exceptions=True)
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, BaseException):
            assert isinstance(answer, ApprovalRefused), answer
        else:
            say("decided", row.approval_id, answer.state.value, name)


async def main(url: str, what: str, *arguments: str) -> None:
    books = SqlJournal(url, patience=60)
    await books.open()
    say("open")
    await globals()[what](books, *arguments)
    await books.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
