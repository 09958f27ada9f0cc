"""Reads what `report.lua` found into the port's words."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from envelope.ports.permits import AgentPermits, PermitHolder, PermitWaiter
from worker.coordination.permits.names import run_and_step
from worker.coordination.permits.order import Line, in_order, why
from worker.coordination.permits.wire import Fields, Reply

_MICRO = 1_000_000


def agents(reply: Reply) -> list[AgentPermits]:
    """Return all agents, by name."""
    found = [_agent(fields, reply["missing"]) for fields in reply["agents"]]
    return sorted(found, key=lambda permits: permits.agent)


def _agent(fields: Fields, missing: int) -> AgentPermits:
    name, at_run_time, registered, held, asks, lines = fields
    limit = int(at_run_time or registered or 0)
    holders = _entries(held)
    waiting = _entries(asks)
    order = in_order(_lines(waiting, list(lines)))
    return AgentPermits(
        agent=unquote(name),
        limit=limit,
        holders=[_holder(permit, entry) for permit, entry in holders.items()],
        waiters=[_waiter(permit, waiting[permit], place) for place, permit in enumerate(order, 1)],
        why=why(limit=limit, held=len(holders), waiting=len(waiting), missing=missing),
    )


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _entries(flat: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read a hash of JSON, oldest first; an empty one comes as an empty object."""
    found = {permit: json.loads(entry) for permit, entry in _pairs(list(flat)).items()}
    return dict(sorted(found.items(), key=lambda item: (item[1]["since"], item[0])))


def _lines(asks: dict[str, dict[str, Any]], names: Sequence[str]) -> list[Line]:
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for permit, ask in asks.items():
        waiting[f"{ask['priority']}:{ask['tenant']}"].append(permit)
    return [Line(int(name[0]), waiting[name]) for name in names]


def _holder(permit: str, entry: dict[str, Any]) -> PermitHolder:
    run_id, step = run_and_step(permit)
    return PermitHolder(
        run_id=run_id,
        step=step,
        tenant=unquote(entry["tenant"]),
        worker=entry["worker"],
        since=int(entry["since"]) / _MICRO,
    )


def _waiter(permit: str, entry: dict[str, Any], place: int) -> PermitWaiter:
    run_id, step = run_and_step(permit)
    return PermitWaiter(
        run_id=run_id,
        step=step,
        tenant=unquote(entry["tenant"]),
        priority=entry["priority"],
        worker=entry["worker"],
        since=int(entry["since"]) / _MICRO,
        place=place,
    )
