"""The examples of the how-to page about copy run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.copywriter import copywriter
from agents.copywriter.lengths import NETWORKS, Lengths

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "write-copy.md"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OUTPUT = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGE.read_text()
    assert callable(copywriter)
    names: dict[str, object] = {"__name__": "launch_copy"}
    for example in _EXAMPLE.findall(page):
        exec(compile(example, PAGE.name, "exec", dont_inherit=True), names)  # noqa: S102 - our own page
    said = capsys.readouterr().out
    assert said.startswith(_OUTPUT.findall(page)[0])
    assert said.rstrip().endswith("#Muster #RegionalBanks")


def test_the_table_of_lengths_is_true() -> None:
    page = PAGE.read_text()
    for name, lengths in {"none": Lengths(), **NETWORKS}.items():
        rows = (line.strip("|").split("|") for line in page.splitlines() if line.startswith("|"))
        row = next(row for row in rows if name in row[0].replace("`", "").replace(",", " ").split())
        cells = [cell.strip().replace(",", "") for cell in row[1:]]
        shown = (lengths.headline, lengths.body, lengths.text, lengths.hashtags)
        assert tuple(map(int, cells)) == shown
        assert lengths.call_to_action == 25
