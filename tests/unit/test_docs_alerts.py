"""Every alert has a section that says what to do, and every section an alert."""

from __future__ import annotations

import re

import pytest

from tests.unit.markdown_pages import ROOT

ALERTS_YML = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
PAGE = (ROOT / "docs" / "operations" / "alerts.md").read_text("utf-8")
ALERTS = dict(re.findall(r"- alert: (\w+)\n(.*?)(?=- alert: |\Z)", ALERTS_YML, re.DOTALL))
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
IN_WORDS = {"1m": "a minute", "2m": "two minutes", "5m": "five minutes", "10m": "ten minutes"}
NAMES_ITS_WAIT = [
    "MusterRedisAway",
    "MusterQueueSlow",
    "MusterPermitsStarved",
    "MusterPermitsSlow",
    "MusterCommitsSlow",
]


def test_alerts_and_sections_are_the_same_in_the_same_order() -> None:
    assert len(ALERTS) > 10
    assert list(SECTIONS) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_names_its_section(name: str) -> None:
    assert f'runbook: "docs/operations/alerts.md#{name.lower()}"\n' in ALERTS[name]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_says_what_it_means_where_to_look_and_what_to_do(name: str) -> None:
    parts = re.findall(r"^\*\*(\w+)\.\*\*", SECTIONS[name], re.MULTILINE)
    assert parts == ["Meaning", "Look", "Do"]


@pytest.mark.parametrize("name", NAMES_ITS_WAIT)
def test_a_section_names_the_wait_of_its_rule(name: str) -> None:
    waits = re.search(r"for: (\w+)", ALERTS[name])
    assert waits is not None
    assert IN_WORDS[waits[1]] in SECTIONS[name].partition("**Look.**")[0]
