"""What fakellm answers in the tests; its rules file is YAML, which JSON is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RULES: Mapping[str, Any] = {
    "version": 1,
    "rules": [
        {
            "name": "busy",
            "when": {"messages_contain": "please be busy"},
            "respond": {"status": 429, "error": "Rate limit exceeded"},
        },
        {
            "name": "down",
            "when": {"messages_contain": "please be down"},
            "respond": {"status": 503, "error": "Overloaded"},
        },
        {
            "name": "first",
            "when": {"tools_include": "independent-search", "turn": 1},
            "respond": {
                "tool_calls": [
                    {"name": "independent-search", "arguments": {"query": "muster"}},
                    {"name": "independent-search", "arguments": {"query": "celery"}},
                ]
            },
        },
        {
            "name": "second",
            "when": {"turn": 2, "tool_result_contains": "found muster"},
            "respond": {"tool_calls": [{"name": "independent-search", "arguments": {"query": 7}}]},
        },
        {
            "name": "third",
            "when": {"turn": 3, "tool_result_contains": "not valid"},
            "respond": {"content": '{"summary": "found it"}'},
        },
        {
            "name": "plain",
            "when": {"messages_contain": "say plainly"},
            "respond": {"content": '{"summary": "said it"}'},
        },
        {
            "name": "repaired",
            "when": {"messages_contain": "say wrongly", "turn": 2},
            "respond": {"content": '{"summary": "corrected"}'},
        },
        {
            "name": "wrong",
            "when": {"messages_contain": "say wrongly"},
            "respond": {"content": "It is hard to say."},
        },
    ],
}
