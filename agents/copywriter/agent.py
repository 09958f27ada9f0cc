"""The `copywriter` agent."""

from __future__ import annotations

from typing import Any

from agents.copywriter.claims import unsupported_claims
from agents.copywriter.form import FORMS
from agents.copywriter.prompt import copy_prompt, fact_ids
from agents.copywriter.request import CopyRequest
from agents.copywriter.suspicion import fact_text, suspicious
from agents.llm.port import Generated, LanguageModel
from agents.registry import agent
from envelope.canonical import content_hash
from envelope.envelope import Envelope
from envelope.ports.context import AgentContext
from envelope.record import Record

_NOT_SAID = {"facts", "lead", "max_words", "network", "lengths"}


@agent("copywriter", concurrency=8)
async def copywriter(ctx: AgentContext, request: CopyRequest) -> Envelope:
    """Write one e-mail, ad or post and return it as one record, with what a reviewer should see.

    The record is derived from the lead and the facts that the text relies on. It has no recipient:
    whom to send it to is never the model's business.
    """
    model = ctx.resource(LanguageModel)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    form = FORMS[request.channel]
    written = await model.generate(
        copy_prompt(request), form.draft, check=lambda draft: form.problem(request, draft)
    )
    record = _record(request, written)
    _report(ctx, record)
    return Envelope.from_records([record], source="copywriter")


def _record(request: CopyRequest, written: Generated[Any]) -> Record:
    form, draft, known = FORMS[request.channel], written.output, fact_ids(request.facts)
    # A model that names no fact it was given may have used any of them.
    used = [known[name] for name in dict.fromkeys(draft.facts_used) if name in known]
    parents = [request.lead, *(used or request.facts)] if request.lead else used or request.facts
    fields = form.fields(request, draft)
    data = {
        "company": request.company,
        "campaign": request.campaign,
        "channel": request.channel,
        "tone": request.tone,
        **fields,
        "unsupported_claims": unsupported_claims(form.claims(draft), _said(request)),
        "suspicious_facts": suspicious(request.facts),
    }
    return Record.of(
        data,
        source="copywriter",
        row_id=content_hash(_identity(request, fields))[:16],
        model=written.model,
        prompt_sha256=written.prompt_sha256,
        derived_from=tuple(dict.fromkeys(parent.id for parent in parents if parent)),
    )


def _identity(request: CopyRequest, fields: dict[str, Any]) -> list[Any]:
    if request.channel == "email":
        return [request.campaign, request.company, fields["body"]]
    return [request.campaign, request.company, request.channel, fields]


def _said(request: CopyRequest) -> list[str]:
    """All that the text may rest on: the facts, and what we know of the company."""
    task = request.model_dump(mode="json", exclude=_NOT_SAID)
    lead = [fact_text(request.lead)] if request.lead else []
    return [*map(fact_text, request.facts), *lead, *(str(value) for value in task.values())]


def _report(ctx: AgentContext, record: Record) -> None:
    """Tell a reviewer; the counts alone, for the text itself may carry the attack."""
    for what in ("unsupported_claims", "suspicious_facts"):
        found = record.data[what]
        if isinstance(found, list) and found:
            event = f"copywriter.{what}"
            ctx.log.warning(event, count=len(found), record=record.id)
            ctx.emit(event, count=len(found), record=record.id)
