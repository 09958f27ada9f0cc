"""The mix of runs that the rig asks for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from tests.rig.faults.client import Wish

_PLACES = ("near", "far", "mixed")
_ROUND = 200  # runs in which each poison, which costs two workers, comes once


def mixed_wishes(seed: int, canary: str) -> Iterator[Wish]:
    """Runs of all kinds without end, in an order that the seed decides."""
    chance = random.Random(seed)
    makers = [_chain] * 8 + [_fan] * 3 + [_talk] * 4 + [_single] * 2 + [_cancelled] * 2
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


def _poison(number: int, canary: str, where: str) -> Wish:
    return Wish("rig-poison", _plan(number, canary, where=where), expect=("dead",))


def _hang(number: int, canary: str) -> Wish:
    return Wish("rig-hang", _plan(number, canary), expect=("failed",))
