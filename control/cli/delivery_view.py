"""Approvals, effects and suppressions as people and as programs read them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from control.cli.run_view import facts_table, time_text
from control.durations import span
from control.run_report import iso
from envelope.approval import ApprovalState
from envelope.ports.ledger import ApprovalRow, EffectRow, Suppression

_COLOURS = {
    "pending": "magenta",
    "approved": "green",
    "consumed": "green",
    "rejected": "red",
    "expired": "yellow",
    "intended": "blue",
    "sent": "green",
    "failed": "red",
    "refused": "red",
    "unknown": "yellow",
}


def approval_json(row: ApprovalRow, *, content: bool = False) -> dict[str, Any]:
    """Return an approval, with what it is for where `content` says so."""
    shown = {"content": _parsed(row.content)} if content else {}
    return {
        "approval_id": row.approval_id,
        "status": row.state.value,
        "run_id": row.run_id,
        "tenant": row.tenant,
        "requester": row.requester,
        "channel": row.channel,
        "title": row.title,
        "role": row.role,
        "content_sha256": row.content_sha256,
        **shown,
        "asked_at": iso(row.asked_at),
        "expires_at": iso(row.expires_at),
        "decided_by": row.decided_by,
        "decided_at": iso(row.decided_at),
        "reason": row.reason,
        "consumed_by": row.consumed_by,
        "consumed_at": iso(row.consumed_at),
    }


def approvals_table(rows: Iterable[ApprovalRow]) -> Table:
    """Return a table of approvals."""
    table = _table("approval", "state", "channel", "left", "role", "for", "title")
    now = time.time()
    for row in rows:
        pending = row.state is ApprovalState.PENDING
        table.add_row(
            row.approval_id,
            _state(row.state),
            escape(row.channel),
            span(max(0.0, row.expires_at - now)) if pending else "",
            escape(row.role),
            escape(row.requester or ""),
            escape(row.title),
        )
    return table


def print_approval(console: Console, row: ApprovalRow) -> None:
    """Print an approval and exactly what it is for, every character of it visible."""
    console.print(f"[bold]{row.approval_id}[/]  {_state(row.state)}")
    facts = {
        "title": row.title,
        "channel": row.channel,
        "run": row.run_id,
        "tenant": row.tenant,
        "asked for": row.requester,
        "role": row.role,
        "asked": time_text(row.asked_at),
        "expires": time_text(row.expires_at),
        "decided by": row.decided_by,
        "decided": time_text(row.decided_at),
        "reason": row.reason,
        "used by": row.consumed_by,
        "sha256": row.content_sha256,
    }
    console.print(facts_table(facts))
    console.print("\n[bold]Exactly this[/]")
    for name, value in _fields(row.content):
        console.print(Text(f"  {name}:", style="dim"))
        console.print(Text(visible(value)), soft_wrap=True)


def effect_json(row: EffectRow) -> dict[str, Any]:
    """Return an effect."""
    return {
        "key": row.key,
        "status": row.state.value,
        "tenant": row.tenant,
        "run_id": row.run_id,
        "step": row.step,
        "channel": row.channel,
        "recipients": list(row.recipients),
        "title": row.title,
        "content_sha256": row.content_sha256,
        "deduplicates": row.deduplicates,
        "tries": row.tries,
        "intended_at": iso(row.intended_at),
        "concluded_at": iso(row.concluded_at),
        "approval_id": row.approval_id,
        "receipt": dict(row.receipt),
        "reason": row.reason,
        "settled_by": row.settled_by,
    }


def effects_table(rows: Iterable[EffectRow]) -> Table:
    """Return a table of effects."""
    table = _table("key", "state", "channel", "to", "begun", "tries", "title / reason")
    for row in rows:
        table.add_row(
            escape(row.key),
            _state(row.state),
            escape(row.channel),
            escape(", ".join(row.recipients)),
            time_text(row.intended_at),
            str(row.tries),
            escape(" — ".join(part for part in (row.title, row.reason) if part)),
        )
    return table


def suppression_json(one: Suppression) -> dict[str, Any]:
    """Return a suppression."""
    return {
        "recipient": one.recipient,
        "channel": one.channel,
        "tenant": one.tenant,
        "reason": one.reason,
        "by": one.by,
        "at": iso(one.at) if one.at else None,
    }


def suppressions_table(rows: Iterable[Suppression]) -> Table:
    """Return a table of suppressions."""
    table = _table("recipient", "channel", "since", "by", "reason")
    for row in rows:
        table.add_row(
            escape(row.recipient),
            escape(row.channel),
            time_text(row.at),
            escape(row.by),
            escape(row.reason),
        )
    return table


def visible(text: str) -> str:
    """Show what a terminal would obey or hide: a text must not look other than it is."""
    return "".join(
        char if char == "\n" or char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(names[0], no_wrap=True)
    for name in names[1:]:
        table.add_column(name, overflow="fold")
    return table


def _state(state: str) -> str:
    return f"[{_COLOURS.get(str(state), 'white')}]{state}[/]"


def _fields(content: str) -> list[tuple[str, str]]:
    """Return the parts of the content, whole; one that is no object as it is."""
    value = _parsed(content)
    if not isinstance(value, Mapping):
        return [("content", content)]
    shown = {name: each for name, each in value.items() if each not in (None, "", [], {})}
    return [
        (name, each if isinstance(each, str) else json.dumps(each, ensure_ascii=False, indent=2))
        for name, each in shown.items()
    ]


def _parsed(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content
