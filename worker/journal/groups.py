"""Failures of one cause, told as one."""

from __future__ import annotations

from json import loads

from envelope.ports.journal_rows import FailureGroup, RunState

BAD_ENDS = (RunState.DEAD, RunState.FAILED)
"""The states that ask for a person."""


def failure_group(
    *,
    fingerprint: str | None,
    flow: str,
    state: str,
    example: str,
    failure: str | None,
    count: int,
    first_at: float,
    last_at: float,
) -> FailureGroup:
    """Return a group; `failure` is that of its example, as JSON."""
    told = loads(failure) if failure else {}
    return FailureGroup(
        fingerprint=fingerprint or "",
        flow=flow,
        state=RunState(state),
        code=str(told.get("code", "")),
        message=str(told.get("message", "")),
        example=example,
        count=count,
        first_at=first_at,
        last_at=last_at,
    )
