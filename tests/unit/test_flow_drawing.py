"""Flows as pictures, and the commands that show them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from control.cli.flows import flows
from control.cli.group import MusterGroup
from orchestrators import flow_of
from orchestrators.flow import (
    After,
    Cache,
    CircuitBreaker,
    Conditional,
    Fallback,
    Graph,
    Node,
    Parallel,
    Retry,
    Route,
    Router,
    Saga,
    Switch,
    Timeout,
    call,
    mermaid,
    tree,
)
from tests.rig.flow_flows import Trail


def step(name: str) -> Node:
    return call("flow-leaf", key=name)


def is_new(value: Any) -> bool:
    return bool(value)


EVERYTHING = (
    step("read")
    >> Conditional(is_new, step("greet"))
    >> Graph(
        {
            "facts": step("rag"),
            "news": step("news"),
            "text": After("facts", "news", do=step("write")),
        }
    )
    >> Parallel(step("mail"), Retry(step("post") >> step("check"), attempts=4), limit=2)
    >> Router(
        Route(CircuitBreaker(step("small"), name="s"), tier="fast", model="mini"),
        Route(Timeout(step("big"), 90), tier="quality", model="max"),
    )
    >> Saga((step("book"), step("unbook")), (Cache(step("price"), ttl=60), None), name="order")
    >> Fallback(step("a"), Switch(len, {1: step("one")}, default=step("other")))
)


def test_a_tree_shows_every_node() -> None:
    assert tree(EVERYTHING).splitlines() == [
        "in order",
        "├─ read",
        "├─ is_new?",
        "│  └─ yes: greet",
        "├─ graph of 3",
        "│  ├─ facts: rag",
        "│  ├─ news",
        "│  └─ text: write (after facts, news)",
        "├─ at once, 2 at a time",
        "│  ├─ mail",
        "│  └─ up to 4 attempts",
        "│     └─ in order",
        "│        ├─ post",
        "│        └─ check",
        "├─ tier balanced",
        "│  ├─ fast: mini: breaker s: opens after 5 failures",
        "│  │  └─ small",
        "│  └─ quality: max: within 90 s",
        "│     └─ big",
        "├─ order",
        "│  ├─ book",
        "│  │  ↩ unbook",
        "│  └─ cached for 60 s",
        "│     └─ price",
        "└─ first that succeeds",
        "   ├─ 1: a",
        "   └─ 2: len",
        "      ├─ 1: one",
        "      └─ else: other",
    ]


def parsed(chart: str) -> tuple[dict[str, str], set[tuple[str, str, str]]]:
    """The boxes, and the arrows by the boxes' texts; fails on any line that is neither."""
    first, *lines = chart.splitlines()
    assert first == "flowchart TD"
    boxes: dict[str, str] = {}
    arrows: list[tuple[str, str, str]] = []
    depth = 0
    for line in lines:
        text = line.strip()
        if text.startswith("subgraph"):
            assert re.fullmatch(r'subgraph n\d+\["[^"]+"\]', text), text
            depth += 1
        elif text == "end":
            depth -= 1
        elif box := re.fullmatch(r'(n\d+)(?:\["(.+)"\]|\{"(.+)"\}|\(\["(.+)"\]\))', text):
            assert box[1] not in boxes
            boxes[box[1]] = box[2] or box[3] or box[4]
        else:
            arrow = re.fullmatch(r'(n\d+) (?:-->(?:\|"(.+)"\|)?|-\. (undo) \.->) (n\d+)', text)
            assert arrow, text
            arrows.append((arrow[1], arrow[2] or arrow[3] or "", arrow[4]))
    assert depth == 0
    return boxes, {(boxes[one], label, boxes[two]) for one, label, two in arrows}


def test_a_chart_has_the_arrows_of_the_flow() -> None:
    boxes, arrows = parsed(mermaid(EVERYTHING))
    assert arrows == {
        ("read", "", "is_new?"),
        ("is_new?", "yes", "greet"),
        ("is_new?", "no", "facts: rag"),
        ("is_new?", "no", "news"),
        ("greet", "", "facts: rag"),
        ("greet", "", "news"),
        ("facts: rag", "", "text: write"),
        ("news", "", "text: write"),
        ("text: write", "", "at once, 2 at a time"),
        ("at once, 2 at a time", "", "mail"),
        ("at once, 2 at a time", "", "post"),
        ("post", "", "check"),
        ("mail", "", "tier balanced"),
        ("check", "", "tier balanced"),
        ("tier balanced", "fast: mini", "small"),
        ("tier balanced", "quality: max", "big"),
        ("small", "", "book"),
        ("big", "", "book"),
        ("book", "undo", "unbook"),
        ("book", "", "price"),
        ("price", "", "first that succeeds"),
        ("first that succeeds", "1", "a"),
        ("first that succeeds", "2", "len"),
        ("len", "1", "one"),
        ("len", "else", "other"),
    }
    assert len(set(boxes.values())) == len(boxes)


def test_texts_cannot_break_a_chart() -> None:
    odd = Conditional(is_new, step("b"), name='"]; click <b>&#')
    boxes, _ = parsed(mermaid(step("a") >> odd))
    assert "#quot;]; click #lt;b>#amp;#35;?" in boxes.values()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    root = MusterGroup(name="muster", commands={"flows": flows})
    flow_of("flow-drawn", EVERYTHING, model=Trail, singleton="trail:{user}")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(root, ["flows", *arguments])

    return run


def test_flows_are_listed(cli: Any) -> None:
    listed = {flow["flow"]: flow for flow in json.loads(cli("list", "--json").stdout)["flows"]}
    assert listed["lead"]["singleton"] == "run:{user}:{thread}"
    assert listed["lead"]["tree"].startswith("in order")
    assert listed["flow-drawn"]["tree"].startswith("in order")
    table = cli("list").stdout
    assert "flow-drawn" in table
    assert "Research, draft and store." in table


def test_a_plain_flow_is_shown_with_its_fields(cli: Any) -> None:
    shown = cli("show", "lead")
    assert shown.exit_code == 0
    for part in ("lead version 1", "LeadRequest", "company", "needed", "Research, draft", "queue"):
        assert part in shown.stdout
    facts = json.loads(cli("show", "lead", "--json").stdout)
    fields = {field["name"]: field for field in facts["fields"]}
    assert fields["company"]["required"]
    assert fields["facts"] == {"name": "facts", "type": "integer", "required": False, "default": 6}
    assert fields["collection"]["type"] == "string or null"
    drawn = parsed(cli("show", "lead", "--mermaid").stdout)[0]
    assert drawn == {"n1": "research", "n2": "draft", "n3": "store"}


def test_a_flow_of_nodes_is_shown_as_a_picture(cli: Any) -> None:
    shown = cli("show", "flow-drawn").stdout
    assert "│  ├─ facts: rag" in shown
    assert "One run per trail:{user} at a time" in shown
    assert "array of string" in shown
    assert cli("show", "flow-drawn", "--mermaid").stdout == mermaid(EVERYTHING)


def test_an_unknown_flow_or_version_is_wrong_usage(cli: Any) -> None:
    for arguments in (("show", "flow-drawm"), ("show", "lead", "--version", "99")):
        assert cli(*arguments).exit_code == 2
    assert "Did you mean 'flow-drawn'?" in cli("show", "flow-drawm").output
