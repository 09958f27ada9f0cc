"""Orchestrations: graphs of tasks of any shape, without Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.llm.offline_model import OfflineModel
from agents.llm.port import Generated, LanguageModel, Prompt
from agents.retries import NO_RETRY
from agents.tasks import BRAND, INTENT, GeneratedText, IntentAnalysis, IntentRequest, task
from control.tasks import AsyncTaskExecutor, OperationResult, TaskErrorCode, TaskStep
from control.tasks.errors import DependencyCycle, UnknownDependency
from control.tasks.plan import in_sequence, planned
from envelope.errors import InvalidInput
from envelope.resources import Resources
from envelope.usage import Usage

M = TypeVar("M", bound=BaseModel)

ASKED = {"user": "u", "thread": "t"}


class Ids(BaseModel):
    step: str
    known: list[str] = []


STEP = (
    task("step")
    .type("text_generation")
    .system_prompt("You do a step.")
    .user_prompt("Do {step}, knowing {known}.")
    .input(Ids)
    .function(GeneratedText)
    .progress(0)
    .retries(NO_RETRY)
    .build()
)


class Worker:
    """A model that notes what runs beside what, and fails where it is told to."""

    name = "worker"

    def __init__(self, fails: Sequence[str] = (), barrier: int = 1) -> None:
        self.fails = fails
        self.running: set[str] = set()
        self.begun: list[str] = []
        self.trace: list[str] = []
        self.known: dict[str, list[str]] = {}
        self.most = 0
        self.cancelled: set[str] = set()
        self._barrier = asyncio.Barrier(barrier)

    async def generate(self, prompt: Prompt, output: type[M], **more: Any) -> Generated[M]:
        step = str(prompt.task["step"])
        known = prompt.task["known"]
        assert isinstance(known, list)
        self.known[step] = [str(each) for each in known]
        self.begun.append(step)
        self.trace.append(f"begin {step}")
        self.running.add(step)
        self.most = max(self.most, len(self.running))
        try:
            await self._barrier.wait()
            await asyncio.sleep(0)
            if step in self.fails:
                raise KeyError(step)
            self.trace.append(f"end {step}")
        except asyncio.CancelledError:
            self.cancelled.add(step)
            raise
        finally:
            self.running.discard(step)
        made = output.model_validate({"text": f"<{step}>"})
        return Generated(made, self.name, Usage(requests=1), prompt.sha256(output))


def steps_of(graph: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    def prepare_for(name: str) -> Any:
        def prepare(data: Mapping[str, Any], outputs: Mapping[str, BaseModel]) -> dict[str, Any]:
            return {"step": name, "known": [made.text for made in outputs.values()]}  # type: ignore[attr-defined] # a GeneratedText

        return prepare

    return [
        {"step_id": name, "task": STEP, "dependencies": after, "prepare": prepare_for(name)}
        for name, after in graph.items()
    ]


def run(
    graph: Mapping[str, Sequence[str]], worker: Any = None, limit: int = 8
) -> tuple[OperationResult, Any]:
    async def main() -> tuple[OperationResult, Any]:
        model = worker() if worker else Worker()
        resources = Resources()
        resources.provide(LanguageModel, lambda: model)  # type: ignore[type-abstract] # a port
        executor = AsyncTaskExecutor(resources=resources, progress=False)
        steps = steps_of(graph)
        done = await executor.execute_orchestration(ASKED, steps, {}, lock=False, limit=limit)
        return done, model

    return asyncio.run(main())


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{n}" for n in range(draw(st.integers(1, 9)))]
    graph = {
        name: draw(st.lists(st.sampled_from(names[:n]), unique=True, max_size=4)) if n else []
        for n, name in enumerate(names)
    }
    order = draw(st.permutations(names))
    return {name: graph[name] for name in order}


@st.composite
def any_graph(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{n}" for n in range(draw(st.integers(1, 6)))]
    known = st.sampled_from(names)
    return {name: draw(st.lists(known, unique=True, max_size=2)) for name in names}


def is_cyclic(graph: Mapping[str, Sequence[str]]) -> bool:
    """Take away what waits for nothing until nothing is left, or nothing goes."""
    left = {name: set(after) for name, after in graph.items()}
    while free := [name for name, after in left.items() if not after & left.keys()]:
        for name in free:
            del left[name]
    return bool(left)


@settings(max_examples=120)
@given(acyclic(), st.integers(1, 4))
def test_every_step_runs_once_after_its_dependencies_and_knows_them(
    graph: dict[str, list[str]], limit: int
) -> None:
    done, worker = run(graph, limit=limit)
    assert done.success
    assert sorted(worker.begun) == sorted(graph)
    assert worker.most <= limit
    for name, after in graph.items():
        assert worker.known[name] == [f"<{dependency}>" for dependency in after]
        for dependency in after:
            assert worker.trace.index(f"end {dependency}") < worker.trace.index(f"begin {name}")
            assert list(done.results).index(dependency) < list(done.results).index(name)
    assert set(done.outputs) == set(graph)
    assert done.unfinished == ()
    assert done.execution_metadata.usage == Usage()  # the worker tells no usage


@settings(max_examples=80)
@given(acyclic(), st.data())
def test_a_failure_stops_the_rest_and_tells_what_was_done(
    graph: dict[str, list[str]], data: st.DataObject
) -> None:
    bad = data.draw(st.sampled_from(list(graph)))
    done, worker = run(graph, lambda: Worker(fails=[bad]))
    assert not done.success
    assert done.error is not None
    assert (done.error.code, done.error.step) == ("TASK_EXECUTION_FAILED", bad)
    assert {*done.results, *done.unfinished} == set(graph)
    assert not set(done.results) & set(done.unfinished)
    assert not {name for name, after in graph.items() if bad in after} & set(worker.begun)
    assert worker.running == set(), "nothing goes on after the answer"


@given(any_graph())
def test_a_cycle_is_found_before_anything_runs(graph: dict[str, list[str]]) -> None:
    done, worker = run(graph)
    if is_cyclic(graph):
        assert done.error is not None
        assert done.error.code is TaskErrorCode.CYCLE
        assert worker.begun == []
    else:
        assert done.success


def test_cycle_and_unknown_dependency_are_two_errors() -> None:
    done, worker = run({"a": ["c"], "b": ["a"], "c": ["b"], "d": []})
    assert done.error is not None
    assert done.error.code == "CYCLE"
    for arrow in ("'a' → 'b'", "'b' → 'c'", "'c' → 'a'"):
        assert arrow in done.error.message
    assert worker.begun == []
    done, worker = run({"a": [], "bravo": ["a"], "c": ["brvo"]})
    assert done.error is not None
    assert done.error.code == "UNKNOWN_DEPENDENCY"
    assert "'c' depends on 'brvo'" in done.error.message
    assert "Did you mean 'bravo'?" in done.error.message
    assert worker.begun == []
    assert DependencyCycle.code != UnknownDependency.code


def test_a_step_that_waits_for_itself_is_a_cycle() -> None:
    done, _ = run({"a": ["a"]})
    assert done.error is not None
    assert done.error.code == "CYCLE"


def test_independent_steps_really_run_at_once() -> None:
    # Each waits until all three are there: one after the other they would never get on.
    done, worker = run({"a": [], "b": [], "c": []}, lambda: Worker(barrier=3))
    assert done.success
    assert worker.most == 3


def test_siblings_under_way_are_cancelled_at_the_first_failure() -> None:
    class Uneven(Worker):
        async def generate(self, prompt: Prompt, output: type[M], **more: Any) -> Generated[M]:
            if prompt.task["step"] == "slow":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled.add("slow")
                    raise
            return await super().generate(prompt, output, **more)

    done, worker = run({"slow": [], "bad": [], "after": ["slow"]}, lambda: Uneven(["bad"]))
    assert worker.cancelled == {"slow"}
    assert done.unfinished == ("slow", "after")
    assert list(done.results) == ["bad"]


def test_fields_are_handed_on_by_name() -> None:
    class Both(BaseModel):
        intent: IntentAnalysis
        colors: list[str]
        text: str
        more: str = "default"

    last = (
        task("both")
        .type("text_generation")
        .system_prompt("You write.")
        .user_prompt("Write about {text} with {intent} in {colors}.")
        .input(Both)
        .progress(1)
        .build()
    )
    steps: list[Any] = [
        {"step_id": "last", "task": last, "dependencies": ["intent", "look"]},
        {"step_id": "look", "task": BRAND},
        {"task": "intent"},
    ]
    data = IntentRequest(text="Draw Acme a #ff0000 banner.")
    done = asyncio.run(_offline().execute_orchestration(ASKED, steps, data, lock=False))
    assert done.success, done.error
    assert list(done.results)[-1] == "last"
    assert done.data == GeneratedText(text="Draw Acme a #ff0000 banner.")


def test_a_dependency_of_another_shape_is_refused_with_the_field() -> None:
    class NeedsIntent(BaseModel):
        intent: IntentAnalysis

    last = (
        task("needs")
        .type("text_generation")
        .system_prompt("s")
        .user_prompt("{intent}")
        .input(NeedsIntent)
        .progress(1)
        .build()
    )
    steps: list[Any] = [
        {"step_id": "intent", "task": "brand"},
        {"step_id": "b", "task": last, "dependencies": ["intent"]},
    ]
    done = asyncio.run(_offline().execute_orchestration(ASKED, steps, {"text": "x"}, lock=False))
    assert done.error is not None
    assert (done.error.code, done.error.step) == ("VALIDATION_FAILED", "b")
    assert "intent" in done.error.message


def test_the_listener_has_heard_all_when_the_result_is_there() -> None:
    heard: list[tuple[str, Any]] = []
    executor = _offline(on_event=lambda name, data: heard.append((name, data["step"])))
    done = asyncio.run(executor.execute_task(ASKED, {"text": "Why?"}, INTENT))
    assert done.success
    assert heard == [("task.progress", "intent")]


def _offline(**more: Any) -> AsyncTaskExecutor:
    resources = Resources()
    resources.provide(LanguageModel, OfflineModel)  # type: ignore[type-abstract] # a port
    return AsyncTaskExecutor(resources=resources, progress=False, **more)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "at least one step"),
        ([{"step_id": "a"}], "a mapping with `task`"),
        ([{"task": STEP, "taks": 1}], "a mapping with `task`"),
        (["intent"], "a mapping with `task`"),
        ([{"task": 7}], "a Task or its name"),
        ([{"task": "poem"}], "No predefined task is called 'poem'. Predefined: intent, brand"),
        ([{"task": STEP}, {"task": STEP}], "Two steps are called 'step'"),
        ([{"task": STEP, "dependencies": "step"}], "a list of step ids"),
        ([{"task": STEP, "dependencies": [1]}], "a list of step ids"),
    ],
)
def test_malformed_steps_say_what_is_wrong(steps: list[Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        planned(steps)


def test_limits_are_checked() -> None:
    done, _ = run({"a": []}, limit=0)
    assert done.error is not None
    assert done.error.code == "VALIDATION_FAILED"


def test_a_sequence_is_a_graph_without_choice() -> None:
    plan = in_sequence(["intent", TaskStep(task=BRAND, step_id="look"), "intent"])
    assert {name: step.dependencies for name, step in plan.items()} == {
        "intent": (),
        "look": ("intent",),
        "intent-3": ("intent", "look"),
    }
