"""The examples of the how-to run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis import Redis

from control.primitives import close, configure
from worker.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "use-the-primitives.md"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_examples_run(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        redis.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
    configure(Settings.load(redis_url=redis_url))
    names: dict[str, object] = {"present_url": redis_url}
    examples = _EXAMPLE.findall(PAGE.read_text())
    try:
        for example in examples:
            exec(compile(example, PAGE.name, "exec"), names)  # noqa: S102 - our own page
    finally:
        close()
    said = capsys.readouterr().out
    assert len(examples) >= 8
    for expected in (
        "invoices:acme%3Aeu",
        "monthly invoices",
        "is held by",
        "written for acme",
        "done",
        "False True True",
        "2 research 1.0 {'pages': 12}",
        "page",
    ):
        assert expected in said
    assert names["rest"] == []
