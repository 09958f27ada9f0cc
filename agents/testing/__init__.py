"""Stand-ins for tests of agents and flows: agents, a language model, a clock, and a guard."""

from agents.testing.behaviours import echo, failing, flaky, slow
from agents.testing.calls import AgentCall
from agents.testing.clock import FakeClock
from agents.testing.double import AgentDouble, ScriptExhausted
from agents.testing.doubles import AgentDoubles, agent_doubles
from agents.testing.guard import ModelCallForbidden, forbid_model_calls
from agents.testing.scripted_model import ModelCall, ScriptedModel, uses

__all__ = [
    "AgentCall",
    "AgentDouble",
    "AgentDoubles",
    "FakeClock",
    "ModelCall",
    "ModelCallForbidden",
    "ScriptExhausted",
    "ScriptedModel",
    "agent_doubles",
    "echo",
    "failing",
    "flaky",
    "forbid_model_calls",
    "slow",
    "uses",
]
