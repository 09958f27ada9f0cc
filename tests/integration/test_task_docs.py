"""The examples of the how-to run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis import Redis

from control.tasks import close, configure
from worker.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "run-llm-tasks.md"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_examples_run(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        redis.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
    configure(Settings.load(redis_url=redis_url))
    names: dict[str, object] = {"__name__": "task_examples"}
    examples = _EXAMPLE.findall(PAGE.read_text())
    try:
        for example in examples:
            code = compile(example, PAGE.name, "exec", dont_inherit=True)
            exec(code, names)  # noqa: S102 - our own page
    finally:
        close()
    said = capsys.readouterr().out
    assert len(examples) >= 12
    for expected in (
        "Missing: system_prompt, user_prompt, function, progress.",
        "True support",
        "offline-composer-1 1",
        "VALIDATION_FAILED - Ticket: message: Field required",
        "create_image run:u1:t1 True",
        "['#ff0000'] fast",
        "True Acme sells hammers. Write a post about them.",
        "CYCLE Steps wait for one another: 'a' → 'b' → 'a'.",
        "False\nnot_found",
        "piece: Acme sells hammers. They last for years.",
        "text 1.0",
        "ask\n",
        "200\n",
        "2 0\n",
    ):
        assert expected in said
