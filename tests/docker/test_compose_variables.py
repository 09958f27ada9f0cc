"""What compose takes from `.env` stands in `.env.example` and in the how-to. Needs no engine."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text("utf-8")
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
HOW_TO = (ROOT / "docs/howto/run-with-docker.md").read_text("utf-8")


def interpolated() -> dict[str, str]:
    """The variables that compose replaces, with their defaults."""
    found = set(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    defaults = dict(found)
    assert len(found) == len(defaults), "a variable has two defaults"
    return defaults


def test_every_variable_has_a_default() -> None:
    # Without one it would be empty in a clean clone, and compose would warn of it.
    rows = [row for row in COMPOSE.splitlines() if not row.lstrip().startswith("#")]
    assert [row for row in rows if "$" in re.sub(r"\$\{\w+:-[^}]+\}", "", row)] == []


def test_the_example_names_each_variable_and_no_other() -> None:
    examples = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    settings = {name for name in examples if name.startswith("MUSTER_")}
    assert {n: value for n, value in examples.items() if n not in settings} == interpolated()


def test_the_how_to_names_each_variable_and_its_default() -> None:
    (table,) = re.findall(r"\| variable \|.*?\n\n", HOW_TO, re.DOTALL)
    for name, default in interpolated().items():
        assert f"`{name}`" in table, name
        assert f"`{default}`" in table, name
