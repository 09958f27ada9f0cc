"""Several processes on one ledger."""

from collections import Counter

import psycopg

from envelope.approval import ApprovalState
from envelope.effect import EffectState
from envelope.ports.ledger import ApprovalFilter, EffectFilter
from tests.conformance.journal.making import Backend, Books, claimed, types
from tests.conformance.journal.making_effects import a_request
from tests.conformance.journal.making_processes import facts, start
from tests.conformance.journal.process_effects import recipients

MODULE = "process_effects"
CAP = 6


def check_no_deadlock(database: Backend) -> None:
    """A deadlock is resolved by Postgres and a repetition, so nothing but its count tells of it."""
    if database.name != "postgres":
        return
    with psycopg.connect(database.url) as connection:
        row = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row == (0,)


def test_a_key_goes_once_and_no_cap_is_passed(database: Backend) -> None:
    count = 40
    processes = [
        start(database, "send", f"p{n}", str(count), str(CAP), module=MODULE) for n in range(3)
    ]
    went = Counter(key for _, key in facts(processes))
    assert set(went.values()) == {1}
    reached = Counter(
        recipient for n in range(count) if f"k{n}" in went for recipient in set(recipients(n))
    )
    assert max(reached.values()) == CAP

    async def body(books: Books) -> None:
        rows = await books.effects(EffectFilter(limit=1000))
        assert {row.key for row in rows} == set(went)
        assert {(row.state, row.tries) for row in rows} == {(EffectState.SENT, 1)}
        counts = await books.reached("default", "email", [*reached, "none"], 3600)
        assert counts == {**reached, "none": 0}
        told = [kind for n in range(3) for kind in await types(books, f"run-p{n}")]
        assert Counter(told)["effect.sent"] == Counter(told)["effect.intended"] == len(went)

    database.using(body)
    check_no_deadlock(database)


def test_an_approval_is_used_once_by_several_processes(database: Backend) -> None:
    count = 15
    processes = [start(database, "consume", f"p{n}", str(count), module=MODULE) for n in range(3)]
    used = [(key, approval) for _, key, approval in facts(processes)]
    assert used
    assert len({approval for _, approval in used}) == len(used)

    async def body(books: Books) -> None:
        rows = await books.approvals(ApprovalFilter(limit=1000))
        assert len(rows) == 3 * count
        consumed = {
            (row.consumed_by, row.approval_id)
            for row in rows
            if row.state is ApprovalState.CONSUMED
        }
        assert consumed == set(used)

    database.using(body)
    check_no_deadlock(database)


def test_each_request_is_decided_by_one_of_several_processes(database: Backend) -> None:
    async def ask(books: Books) -> None:
        for n in range(6):
            claim = await claimed(books, run_id=f"r{n}")
            for m in range(10):
                await books.ask_approval(a_request(claim, f"{n}-{m}"))

    database.using(ask)
    said = facts([start(database, "decide", f"p{n}", module=MODULE) for n in range(3)])
    assert sorted(words[1] for words in said) == sorted(
        f"{n}-{m}" for n in range(6) for m in range(10)
    )

    async def body(books: Books) -> None:
        rows = {row.approval_id: row for row in await books.approvals(ApprovalFilter(limit=1000))}
        for _, name, state, by in said:
            assert (rows[name].state.value, rows[name].decided_by) == (state, by)
        for n in range(6):
            assert len(list(await books.signals(f"r{n}"))) == 10
            assert (await types(books, f"r{n}")).count("run.approval_decided") == 10

    database.using(body)
    check_no_deadlock(database)
