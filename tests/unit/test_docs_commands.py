"""Commands, settings, modules, services and files that the pages name exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from control.cli import muster
from control.cli.lazy import LazyCommand
from tests.unit.markdown_pages import DOCS, ROOT, blocks, name_of, pages, spans
from worker.settings import Settings
from worker.settings_names import variable_names

PAGES = pages()
SHELL = {"bash", "console", "sh"}
SETTINGS = {name for field in Settings.model_fields for name in variable_names(Settings, field)}

_CALL = re.compile(
    r"(?:^|[\s;&])(?:uv run |run --rm |with-secrets |celery -A worker )?muster (?P<said>[a-z-].*)"
)
_COMPOSE = r"docker compose (?:run --rm|exec \w+ with-secrets) "
_OURS = re.compile(rf"^(?:[$] |uv run |{_COMPOSE}|celery -A worker )*muster ")
_VARIABLE = re.compile(r"\bMUSTER_[A-Z][A-Z_]*[A-Z]\b")
_MODULE = re.compile(r"\bpython -m ((?:worker|control|agents|benchmarks)[\w.]*)")
_SERVICE = re.compile(
    r"docker compose (?:--profile \w+ )?(?:run --rm|exec|logs|restart|stop) ([a-z]+)"
    r"|--scale ([a-z]+)="
)
_SERVICES = re.compile(r"^  ([a-z]+):$", re.MULTILINE)
_PATH = re.compile(r"(?:deploy|worker|control|agents|envelope|orchestrators|tests|docs)/[\w./-]*\w")
_MADE_BY_USERS = "deploy/secrets/own"


def commands_of(text: str) -> list[str]:
    """What a page tells people to type after `muster`."""
    lines = [
        line for language, code in blocks(text) if language in SHELL for line in code.splitlines()
    ]
    lines += [span for span in spans(text) if _OURS.match(span)]
    return [found["said"] for line in lines for found in _CALL.finditer(line.removeprefix("$ "))]


def problem(said: str) -> str | None:
    """What is wrong with a command; None where the parser knows all its words."""
    command, path = real(muster), "muster"
    for word in shlex.split(said.replace("…", ""), comments=True):
        if word.startswith("-") and word != "-":
            if word.partition("=")[0] not in options(command):
                return f"{path} has no option {word}"
        elif isinstance(command, click.Group) and not word.isupper():
            known = [command.commands.get(name) for name in word.split("|")]
            if None in known:
                return f"{path} has no command {word}"
            command, path = real(known[0]), f"{path} {word}"
    return None


def real(command: click.Command | None) -> click.Command:
    assert command is not None
    return command.real if isinstance(command, LazyCommand) else command


def options(command: click.Command) -> set[str]:
    return {"-h", "--help", *(name for given in command.params for name in given.opts)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page: Path) -> None:
    found = {said: problem(said) for said in commands_of(page.read_text("utf-8"))}
    assert {said: wrong for said, wrong in found.items() if wrong} == {}


def test_there_are_commands() -> None:
    said = {said for page in PAGES for said in commands_of(page.read_text("utf-8"))}
    assert len(said) > 80
    assert any(one.startswith("effects settle ") for one in said)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("runs list --state queued --json", None),
        ("runs list|show|watch", None),
        ("enqueue lead --payload '{\"a\": 1}' --wait   # a comment", None),
        ("agents set NAME --concurrency 4", None),
        ("why RUN", "muster has no command why"),
        ("runs forget RUN", "muster runs has no command forget"),
        ("runs show RUN --why", "muster runs show has no option --why"),
    ],
)
def test_a_command_that_does_not_exist_is_found(said: str, wrong: str | None) -> None:
    assert problem(said) == wrong


def test_the_reference_names_every_command_and_option() -> None:
    reference = (DOCS / "reference" / "cli.md").read_text("utf-8")
    left = [
        (path, names[-1])
        for path, command in every_command(real(muster), "muster")
        for names in [[path.split()[-1]], *(each.opts for each in command.params)]
        if not any(name in reference for name in names)
    ]
    assert left == []


def every_command(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from every_command(real(sub), f"{path} {name}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_exist(page: Path) -> None:
    named = set(_VARIABLE.findall(page.read_text("utf-8")))
    assert {name for name in named if not known_variable(name)} == set()


def known_variable(name: str) -> bool:
    """A setting, the file of one for `with-secrets`, or what tests and benchmarks read."""
    if name.startswith(("MUSTER_TEST_", "MUSTER_BENCH_")):
        return any(name in path.read_text("utf-8") for path in readers())
    base = name.removesuffix("_FILE")
    return {base, f"{base.removesuffix('_PASSWORD')}_URL"} & SETTINGS != set()


def readers() -> list[Path]:
    return [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]


def test_a_setting_that_does_not_exist_is_found() -> None:
    assert known_variable("MUSTER_LEASE_SECONDS")
    assert known_variable("MUSTER_REDIS_PASSWORD_FILE")
    assert not known_variable("MUSTER_LEASE")
    assert _VARIABLE.findall("`MUSTER_…`, `MUSTER_DELIVERY_*`, MUSTER_HOME=x") == ["MUSTER_HOME"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_services_and_files_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    services = set(_SERVICES.findall((ROOT / "docker-compose.yml").read_text("utf-8")))
    named = {name for pair in _SERVICE.findall(text) for name in pair if name}
    files = {span for span in spans(text) if _PATH.fullmatch(span)} - {_MADE_BY_USERS}
    assert [name for name in _MODULE.findall(text) if find_spec(name) is None] == []
    assert named - services == set()
    assert [name for name in files if not (ROOT / name).exists()] == []
