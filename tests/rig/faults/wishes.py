"""The mix of runs that the rig asks for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Any

from tests.rig.faults.client import Wish
from tests.rig.faults.delivering import HOOKS

_PLACES = ("near", "far", "mixed")
_MALFORMED: tuple[tuple[str, Any], ...] = (
    ("rig-nowhere", {"name": "no such flow"}),
    ("rig-chain", {"steps": 2}),
    ("rig-chain", {"name": "steps", "steps": "many"}),
    ("rig-chain", ["no", "mapping"]),
    ("rig-chain", {"name": "seconds", "seconds": float("nan")}),
    ("rig-chain", {"name": "NUL \x00"}),
    ("rig-chain", {"name": "large" * 100_000}),
    ("delivery", {"drafts": []}),
    ("delivery", {"drafts": [{"run_id": "r", "to": "a@example.org"}], "channel": "../e-mail"}),
)
_ROUND = 200  # runs in which each poison, which costs two workers, comes once


def mixed_wishes(seed: int, canary: str) -> Iterator[Wish]:
    """Runs of all kinds without end, in an order that the seed decides."""
    chance = random.Random(seed)
    makers = [_chain] * 8 + [_fan] * 3 + [_talk] * 4 + [_single] * 2 + [_cancelled] * 2
    makers += [_deliver, _malformed]
    for number in count():
        match number % _ROUND:
            case 10:
                yield _hang(number, canary)
            case 20:
                yield _poison(number, canary, "far")
            case 120:
                yield _poison(number, canary, "near")
            case _:
                yield chance.choice(makers)(number, canary, chance)


def _plan(number: int, canary: str, **more: object) -> dict[str, object]:
    return {"name": f"run {number}", "secret": f"token={canary}", **more}


def _chain(number: int, canary: str, chance: random.Random) -> Wish:
    steps = chance.randint(2, 8)
    plan = _plan(
        number,
        canary,
        steps=steps,
        seconds=chance.choice([0.02, 0.3, 0.5, 1.0, 2.0]),
        where=chance.choice(_PLACES),
        flaky=chance.random() < 0.2,
    )
    return Wish("rig-chain", plan, numbers=range(steps), twice=chance.random() < 0.2)


def _fan(number: int, canary: str, chance: random.Random) -> Wish:
    steps = chance.randint(2, 6)
    plan = _plan(number, canary, steps=steps, seconds=chance.uniform(0.05, 1.5))
    return Wish("rig-fan", plan, numbers=range(steps + 3))


def _talk(number: int, canary: str, chance: random.Random) -> Wish:
    steps = chance.randint(1, 3)
    return Wish("rig-talk", _plan(number, canary, steps=steps), numbers=range(steps + 1))


def _single(number: int, canary: str, chance: random.Random) -> Wish:
    user = f"user-{chance.randint(1, 4)}"
    plan = _plan(number, canary, seconds=0.2)
    return Wish("rig-single", plan, numbers=range(2), user=user, singleton=f"rig:{user}")


def _cancelled(number: int, canary: str, chance: random.Random) -> Wish:
    plan = _plan(number, canary, steps=30, seconds=0.4, where=chance.choice(_PLACES))
    return Wish(
        "rig-chain", plan, expect=("cancelled",), cancel_after=round(chance.uniform(0.0, 6.0), 2)
    )


def _deliver(number: int, canary: str, chance: random.Random) -> Wish:
    """To a recipient of its own, one in four without permission.

    Nobody knows of an e-mail whose worker is lost between intent and outcome: its run fails.
    """
    channel, to = chance.choice(
        [("email", f"n{number}@example.org"), ("webhook", HOOKS + str(number))]
    )
    allowed = chance.random() < 0.75
    may_fail = allowed and channel == "email"
    return Wish(
        "rig-deliver",
        _plan(number, canary, channel=channel, to=to),
        expect=("succeeded", "failed") if may_fail else ("succeeded",),
        twice=chance.random() < 0.2,
        allow_delivery=allowed,
        delivers={"channel": channel, "to": to},
    )


def _malformed(_number: int, _canary: str, chance: random.Random) -> Wish:
    flow, plan = chance.choice(_MALFORMED)
    return Wish(flow, plan, malformed=True)


def _poison(number: int, canary: str, where: str) -> Wish:
    return Wish("rig-poison", _plan(number, canary, where=where), expect=("dead",))


def _hang(number: int, canary: str) -> Wish:
    return Wish("rig-hang", _plan(number, canary), expect=("failed",))
