"""Answers of a provider that call tools or come in pieces."""

from __future__ import annotations

from typing import Any

from tests.integration.openai_provider import chat_body, responses_body


def responses_events(text: str, pieces: int = 3, **more: Any) -> list[dict[str, Any] | str]:
    """The same answer in pieces, with the thinking before it."""
    whole = responses_body(text, **more)
    delta = "response.output_text.delta"
    return [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}},
        {"type": "response.reasoning_summary_text.delta", "delta": "I am thinking"},
        *({"type": delta, "delta": piece} for piece in cut(text, pieces)),
        {"type": "response.output_text.done", "text": text},
        {"type": "response.completed", "response": whole},
    ]


def responses_calls(*calls: tuple[str, str, str]) -> dict[str, Any]:
    """An answer of the Responses API that calls tools: id, name and arguments of each."""
    items = [
        {
            "type": "function_call",
            "id": f"fc_{id_}",
            "call_id": id_,
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        for id_, name, arguments in calls
    ]
    return responses_body("", output=[{"type": "reasoning", "id": "rs", "summary": []}, *items])


def chat_calls(*calls: tuple[str, str, str]) -> dict[str, Any]:
    """An answer of Chat Completions that calls tools: id, name and arguments of each."""
    asked = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in calls
    ]
    message = {"role": "assistant", "content": None, "tool_calls": asked}
    return chat_body("", message=message, finish_reason="tool_calls")


def chat_events(text: str, pieces: int = 3) -> list[dict[str, Any] | str]:
    """The same answer in pieces, with the thinking that some servers send before it."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"object": "chat.completion.chunk", "model": "local-llama", "choices": [choice]}

    usage = {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70}
    return [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "I am thinking"}),
        *(chunk({"content": piece}) for piece in cut(text, pieces)),
        chunk({}, "stop"),
        {"object": "chat.completion.chunk", "model": "local-llama", "choices": [], "usage": usage},
        "[DONE]",
    ]


def cut(text: str, pieces: int) -> list[str]:
    """A text in about so many pieces."""
    size = max(1, len(text) // pieces)
    return [text[at : at + size] for at in range(0, len(text), size)]
