"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import asyncio

import pytest
from pydantic import BaseModel

from agents.llm.factory import language_model
from agents.llm.port import Prompt
from agents.testing import ModelCallForbidden
from orchestrators import orchestrator, run_inline


class Any(BaseModel):
    pass


@orchestrator("plugin-flow")
async def flow(ctx, request: Any):
    await ctx.sleep(60)
    return await ctx.call("plugin-agent", {"text": "x"})


def ask():
    model = language_model("sk-test", "http://127.0.0.1:1/v1", "gpt-x", 5.0)
    asyncio.run(model.generate(Prompt(instructions="x"), Any))


def test_fixtures(muster_agents, fake_clock):
    double = muster_agents.add("plugin-agent", {"ok": True})
    asyncio.run(run_inline(flow, {}, sleep=fake_clock.sleep))
    double.assert_called_once_with(text="x")
    assert fake_clock.sleeps == [60]


def test_the_double_is_gone():
    with pytest.raises(Exception, match="No agent named 'plugin-agent'"):
        asyncio.run(run_inline(flow, {}, sleep=lambda seconds: asyncio.sleep(0)))


def test_model(scripted_model):
    made = asyncio.run(scripted_model.add({}).generate(Prompt(instructions="x"), Any))
    assert made.model == "scripted-1"


def test_real_models_are_refused():
    with pytest.raises(ModelCallForbidden):
        ask()


@pytest.mark.allow_model_calls("gpt-x")
def test_unless_allowed():
    with pytest.raises(Exception, match="cannot be reached|connect"):
        ask()
"""


def run(folder: Path, *options: str) -> str:
    (folder / "test_own.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:celery"]
    done = subprocess.run(
        [*command, "--strict-markers", "--rootdir", str(folder), *options, str(folder)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_the_fixtures_work_in_a_project_of_its_own(tmp_path: Path) -> None:
    assert "5 passed" in run(tmp_path, "-p", "agents.testing.pytest_plugin")


def test_it_is_not_loaded_by_itself(tmp_path: Path) -> None:
    assert "allow_model_calls' not found" in run(tmp_path)


def test_the_stand_ins_load_neither_pytest_nor_a_provider_s_sdk() -> None:
    look = "import sys, agents.testing; print({'pytest', 'openai'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", look],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "set()\n"
