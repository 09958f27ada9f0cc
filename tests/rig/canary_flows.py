"""A flow that takes a secret in by every way that a run has, and looks at each."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from agents import agent
from agents.knowledge.document import SourceDocument
from agents.knowledge.port import KnowledgeBase
from agents.llm.errors import ToolFailed
from agents.llm.tool import Tool
from agents.rag import rag
from agents.testing.tool_turns import ToolTurns
from envelope import Envelope
from envelope.approval import ApprovalRequest
from envelope.canonical import canonical_json
from envelope.effect import Effect, Receipt
from envelope.errors import Refused
from envelope.usage import Usage
from orchestrators import orchestrator

__all__ = ["rag"]


class Secrets(BaseModel):
    """Each is put where its name says."""

    payload: str
    knowledge: str
    tool: str
    tool_error: str
    effect: str
    receipt: str
    approval: str
    refused: bool = False


class Looked(BaseModel):
    text: str = ""


def _tool(name: str, answer: str, *, fails: bool) -> Tool:
    async def call(_: Any) -> dict[str, str]:
        if fails:
            raise ToolFailed(answer)
        return {"text": answer}

    return Tool(name=name, description="Looks.", arguments=Looked, call=call, note=_nothing)


def _nothing(_name: str, _outcome: str) -> None:
    pass


@agent("cny-looks", inline=True)
async def looks(ctx: Any, request: Secrets) -> Envelope:
    """Keep knowledge, call tools, and say aloud what they answered."""
    document = SourceDocument("doc.md", f"The lighthouse says {request.knowledge}.")
    ctx.resource(KnowledgeBase).ingest([document], "canary")
    good = _tool("good", request.tool, fails=False)
    bad = _tool("bad", request.tool_error, fails=True)
    for tool in (good, bad):
        answer = await ToolTurns([tool], None).call(tool.name, {"text": request.tool}, Usage())
        ctx.log.info("cny.answered", answer=answer)
        ctx.emit("cny.answered", answer=answer)
    return Envelope.from_records([{"text": request.payload}], source="cny")


@agent("cny-acts", inline=True)
async def acts(ctx: Any, request: Secrets) -> Envelope:
    """Have an effect whose every part holds a secret."""
    effect = Effect(
        channel="canary",
        recipients=("ada@example.com",),
        content=canonical_json({"body": request.effect}),
        title=f"Tell {request.effect}",
    )

    async def send(_key: str) -> Receipt:
        if request.refused:
            raise Refused(f"refused with {request.receipt}", spent=True)
        return {"said": request.receipt}

    sent = await ctx.effect(effect, send)
    ctx.log.info("cny.sent", receipt=sent.receipt)
    return Envelope.from_records([{"sent": True}], source="cny")


@orchestrator("cny")
async def cny(ctx: Any, request: Secrets) -> Envelope:
    """Look, act, wait for news, ask for consent."""
    await ctx.call("cny-looks", request)
    found = await ctx.call("rag", {"query": "lighthouse"})
    ctx.log.info("cny.found", records=[record.data for record in found.records])
    await ctx.call("cny-acts", request)
    news = await ctx.wait_for("news", timeout=600)
    ctx.log.info("cny.news", news=news)
    ctx.emit("cny.news", news=news)
    content = canonical_json({"body": request.approval})
    asked = ApprovalRequest(channel="email", content=content, title=f"May I {request.approval}?")
    given = await ctx.approve(asked)
    ctx.log.info("cny.approved", reason=given.reason)
    ctx.emit("cny.approved", reason=given.reason)
    return Envelope.from_records([{"done": request.payload}], source="cny")
