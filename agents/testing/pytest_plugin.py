"""A pytest plugin with the stand-ins as fixtures. It is not loaded by itself.

Put `pytest_plugins = ["agents.testing.pytest_plugin"]` into your top `conftest.py`, or run
`pytest -p agents.testing.pytest_plugin`. While it is loaded, tests cannot ask real models; a test
that may is marked with `@pytest.mark.allow_model_calls("gpt-5.4-mini")`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.testing.clock import FakeClock
from agents.testing.doubles import AgentDoubles, agent_doubles
from agents.testing.guard import forbid_model_calls
from agents.testing.scripted_model import ScriptedModel

_MARK = "allow_model_calls"


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", f"{_MARK}(*models): real models that the test may ask")


@pytest.fixture(autouse=True)
def _no_model_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    mark = request.node.get_closest_marker(_MARK)
    with forbid_model_calls(allow=mark.args if mark else ()):
        yield


@pytest.fixture
def muster_agents() -> Iterator[AgentDoubles]:
    """Doubles of agents, which are gone after the test."""
    with agent_doubles() as doubles:
        yield doubles


@pytest.fixture
def scripted_model() -> ScriptedModel:
    """A language model without answers; `add` and `when` give it some."""
    return ScriptedModel()


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that only moves when somebody waits."""
    return FakeClock()
