"""Doubles of agents, in flows that run in this process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from agents import AGENTS, agent
from agents.testing import AgentDoubles, FakeClock, agent_doubles, echo, failing, flaky, slow
from envelope import Envelope, Record
from envelope.errors import Retryable, Terminal
from envelope.failure import StepFailed
from orchestrators import orchestrator, run_inline


class Words(BaseModel):
    text: str
    loud: bool = False


@agent("fdbl-real", concurrency=2, timeout=30, rate="1/min")
async def real(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([{"text": "real"}], source="real")


@orchestrator("fdbl-pair")
async def pair(ctx: Any, request: Words) -> Envelope:
    first = await ctx.call("fdbl-real", request, key="first")
    data = {"text": f"{len(first.records)}", "more": [1]}
    return await ctx.call("fdbl-second", data, key="second")


@orchestrator("fdbl-both")
async def both(ctx: Any, request: Words) -> Envelope:
    calls = [ctx.call("fdbl-real", {"text": text}, key=text) for text in ("a", "b", "c")]
    made = await ctx.gather(*calls)
    return Envelope.from_records([r for each in made for r in each.records], source="both")


def run(flow: Any, clock: FakeClock | None = None, **request: Any) -> Envelope:
    sleep = clock.sleep if clock else FakeClock().sleep
    return asyncio.run(run_inline(flow, {"text": "x", **request}, sleep=sleep))


def texts(made: Envelope) -> list[Any]:
    return [record.data.get("text") for record in made.records]


def test_doubles_stand_in_and_are_gone_afterwards() -> None:
    before = AGENTS.get("fdbl-real")
    with agent_doubles() as agents:
        agents.add("fdbl-real", [{"text": "one"}, Record.of({"text": "two"}, source="mine")])
        agents.add("fdbl-second", side_effect=echo)
        assert texts(run(pair)) == ["2"]
        assert AGENTS.get("fdbl-real").model is Words
        assert AGENTS.get("fdbl-real").rate is None
    assert AGENTS.get("fdbl-real") is before
    assert "fdbl-second" not in AGENTS


def test_they_nest() -> None:
    with agent_doubles() as outer:
        outer.add("fdbl-real", {"text": "outer"})
        with agent_doubles() as inner:
            inner.add("fdbl-real", {"text": "inner"})
            inner.add("fdbl-real", {"text": "innermost"})
            assert texts(run(both)) == ["innermost"] * 3
        assert texts(run(both)) == ["outer"] * 3


def _broken_test() -> None:
    with agent_doubles() as agents:
        agents.add("fdbl-real")
        raise RuntimeError


def test_they_are_gone_after_a_failure() -> None:
    before = AGENTS.get("fdbl-real")
    with pytest.raises(RuntimeError):
        _broken_test()
    assert AGENTS.get("fdbl-real") is before


def test_calls_are_asserted() -> None:
    with agent_doubles() as agents:
        first, second = agents.add("fdbl-real"), agents.add("fdbl-second", {"ok": True})
        idle = agents.add("fdbl-idle")
        first.assert_not_called()
        run(pair, loud=True)
        first.assert_called_once_with(Words(text="x", loud=True))
        first.assert_called_with(text="x")
        second.assert_any_call(more=[1])
        second.assert_awaited(1)
        idle.assert_not_called()
        agents.assert_order("fdbl-real", "fdbl-second")
        agents.assert_only_called("fdbl-real", "fdbl-second")
        assert [call.step for call in agents.calls] == ["first", "second"]
        assert agents["fdbl-second"] is second
        second.reset()
        assert second.call_count == 0


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (lambda a: a["fdbl-idle"].assert_called(), "'fdbl-idle' was not called"),
        (lambda a: a["fdbl-idle"].assert_called_with(x=1), "was not called"),
        (lambda a: a["fdbl-idle"].assert_awaited(), "There were no calls"),
        (lambda a: a["fdbl-real"].assert_not_called(), "was called. Calls:\nfirst #1 returned"),
        (lambda a: a["fdbl-real"].assert_called_with(text="y"), "last call with {'text': 'y'}"),
        (lambda a: a["fdbl-real"].assert_called_with(nope=None), "last call"),
        (lambda a: a["fdbl-real"].assert_called_with(Words(text="x", loud=True)), "'loud': True"),
        (lambda a: a["fdbl-real"].assert_any_call(text="y"), "any call"),
        (lambda a: a["fdbl-real"].assert_awaited(2), "2 call"),
        (lambda a: a.assert_order("fdbl-second", "fdbl-real"), "Called: fdbl-real > fdbl-second"),
        (lambda a: a.assert_order("fdbl-real", "fdbl-real"), "was expected"),
        (lambda a: a.assert_only_called("fdbl-real"), "Only"),
    ],
)
def test_a_wrong_expectation_fails_and_shows_the_calls(check: Any, says: str) -> None:
    with agent_doubles() as agents:
        for name in ("fdbl-real", "fdbl-second", "fdbl-idle"):
            agents.add(name)
        run(pair)
        with pytest.raises(AssertionError) as caught:
            check(agents)
        assert says in str(caught.value)


def test_a_called_twice_double_is_not_called_once() -> None:
    with agent_doubles() as agents:
        double = agents.add("fdbl-real")
        run(both)
        with pytest.raises(AssertionError, match="one call was expected"):
            double.assert_called_once()


def test_a_script_gives_one_answer_a_call_and_says_when_it_is_empty() -> None:
    with agent_doubles() as agents:
        script = [{"text": "1"}, Retryable("busy"), [{"text": "2"}]]
        double = agents.add("fdbl-real", side_effect=script)
        with pytest.raises(StepFailed, match="has no answer for call 4"):
            run(both)
        outcomes = [call.outcome for call in double.calls]
        assert outcomes.count("returned") == 2
        assert all(call.attempt <= 2 for call in double.calls)


def test_side_effects_may_be_functions_of_either_kind() -> None:
    async def later(ctx: Any, request: Words) -> Any:
        await asyncio.sleep(0)
        return {"text": request.text.upper()}

    with agent_doubles() as agents:
        double = agents.add("fdbl-real", side_effect=later)
        assert texts(run(both)) == ["A", "B", "C"]
        double.side_effect = lambda ctx, request: Envelope.from_records([{"text": "e"}], "own")
        assert texts(run(both)) == ["e", "e", "e"]
        double.side_effect, double.return_value = None, {"text": "r"}
        assert texts(run(both)) == ["r", "r", "r"]


def test_failing_ends_the_step_and_flaky_is_repeated() -> None:
    clock = FakeClock()
    with agent_doubles() as agents:
        first = agents.add("fdbl-real", side_effect=flaky(2, {"text": "at last"}))
        second = agents.add("fdbl-second", side_effect=failing(Terminal("no")))
        with pytest.raises(StepFailed, match="no"):
            run(pair, clock)
        assert [call.outcome for call in first.calls] == ["raised", "raised", "returned"]
        assert second.call_count == 1
        assert isinstance(second.calls[0].error, Terminal)
        first.assert_awaited(1)
    assert len(clock.sleeps) == 2


def test_an_error_class_is_raised_too() -> None:
    with agent_doubles() as agents:
        agents.add("fdbl-real", side_effect=KeyError)
        with pytest.raises(StepFailed, match="KeyError"):
            run(pair)


def test_what_was_not_awaited_to_its_end_counts_as_cancelled() -> None:
    with agent_doubles() as agents:
        clock = FakeClock()

        async def by_text(ctx: Any, request: Words) -> Any:
            await clock.sleep({"a": 1, "b": 2, "c": 3}[request.text])
            return Terminal("b fails") if request.text == "b" else {"text": request.text}

        double = agents.add("fdbl-real", side_effect=by_text, concurrency=3)
        with pytest.raises(StepFailed, match="b fails"):
            run(both)
        outcomes = {call.data["text"]: call.outcome for call in double.calls}
        assert outcomes == {"a": "returned", "b": "raised", "c": "cancelled"}


def test_slow_takes_the_clock_s_time_and_meets_the_time_limit() -> None:
    with agent_doubles() as agents:
        clock = FakeClock()
        agents.add("fdbl-real", side_effect=slow(3_600, {"text": "x"}, clock.sleep), concurrency=9)
        started = clock.now()
        assert texts(run(both)) == ["x"] * 3
        assert (clock.now() - started).total_seconds() == 3_600
        agents.add("fdbl-real", side_effect=slow(60), timeout=0.01)
        with pytest.raises(StepFailed, match="TimeoutError"):
            run(both)


def test_a_request_that_does_not_fit_is_refused_as_by_the_real_agent() -> None:
    with agent_doubles() as agents:
        double = agents.add("fdbl-real")
        with pytest.raises(Exception, match="Words: text"):
            run(pair, text=3)
        double.assert_not_called()


def test_what_is_no_record_is_refused_as_from_a_real_agent() -> None:
    with agent_doubles() as agents:
        agents.add("fdbl-real", [{"text": float("nan")}])
        with pytest.raises(StepFailed, match="not JSON"):
            run(pair)


def test_a_name_that_no_agent_may_have_is_refused() -> None:
    with agent_doubles() as agents, pytest.raises(ValueError, match="use letters"):
        agents.add("a b")


def test_the_order_is_that_of_all_doubles() -> None:
    with agent_doubles() as agents:
        assert isinstance(agents, AgentDoubles)
        agents.add("fdbl-real")
        agents.add("fdbl-second")
        run(pair)
        run(pair)
        assert [call.number for call in agents.calls] == [1, 2, 3, 4]
        agents.assert_order("fdbl-second", "fdbl-real", "fdbl-second")
