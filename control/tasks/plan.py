"""The steps of an orchestration, checked before any of them runs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import BaseModel

from agents.tasks import PREDEFINED, Task
from control.tasks.errors import DependencyCycle, UnknownDependency
from envelope.errors import InvalidInput

Prepare = Callable[[Mapping[str, Any], Mapping[str, BaseModel]], BaseModel | Mapping[str, Any]]
"""Makes a step's input of the operation's data and the outputs of its dependencies."""

_KEYS = frozenset({"step_id", "task", "dependencies", "prepare"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStep:
    """A task within an orchestration.

    Attributes:
        step_id: Its name there; the task's own where None.
        task: The task, or the name of a predefined one.
        dependencies: The steps whose outputs it needs.
        prepare: Makes its input; by default fields are matched by name.
    """

    task: Task[Any, Any] | str
    step_id: str | None = None
    dependencies: Sequence[str] = ()
    prepare: Prepare | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A step that passed all checks."""

    step_id: str
    task: Task[Any, Any]
    dependencies: tuple[str, ...]
    prepare: Prepare | None


def planned(steps: Iterable[TaskStep | Mapping[str, Any]]) -> dict[str, Planned]:
    """Return the steps by id.

    Raises:
        InvalidInput: There is none, one is malformed or no predefined task, or two share an id.
        UnknownDependency: A step depends on one that is not among them.
        DependencyCycle: Steps wait for one another.
    """
    plan: dict[str, Planned] = {}
    for step in map(_planned, steps):
        if step.step_id in plan:
            raise InvalidInput(f"Two steps are called {step.step_id!r}. Give each its own step_id.")
        plan[step.step_id] = step
    if not plan:
        raise InvalidInput("An orchestration needs at least one step.")
    _check_known(plan)
    _check_acyclic(plan)
    return plan


def in_sequence(tasks: Iterable[TaskStep | Task[Any, Any] | str]) -> dict[str, Planned]:
    """Return a plan in which each step comes after, and knows, all before it.

    A task that comes again is called `<name>-2`, and so on.

    Raises:
        InvalidInput: As `planned`.
    """
    steps: list[TaskStep] = []
    for number, task in enumerate(tasks, 1):
        step = task if isinstance(task, TaskStep) else TaskStep(task=task)
        taken = [earlier.step_id or "" for earlier in steps]
        name = step.step_id or _name_of(step.task)
        name = name if name not in taken or step.step_id else f"{name}-{number}"
        steps.append(
            TaskStep(task=step.task, step_id=name, dependencies=taken, prepare=step.prepare)
        )
    return planned(steps)


def _planned(step: TaskStep | Mapping[str, Any]) -> Planned:
    if not isinstance(step, TaskStep):
        step = _read(step)
    task = step.task
    if isinstance(task, str):
        if task not in PREDEFINED:
            held = ", ".join(PREDEFINED)
            raise InvalidInput(f"No predefined task is called {task!r}. Predefined: {held}.")
        task = PREDEFINED[task]
    if isinstance(step.dependencies, str) or not all(
        isinstance(name, str) for name in step.dependencies
    ):
        raise InvalidInput(f"dependencies of {step.step_id or task.name!r} is a list of step ids.")
    return Planned(
        step_id=step.step_id or task.name,
        task=task,
        dependencies=tuple(dict.fromkeys(step.dependencies)),
        prepare=step.prepare,
    )


def _read(step: Mapping[str, Any]) -> TaskStep:
    if not isinstance(step, Mapping) or "task" not in step or set(step) - _KEYS:
        raise InvalidInput(
            "A step is a TaskStep or a mapping with `task` and, if you like, `step_id`, "
            "`dependencies` and `prepare`."
        )
    if not isinstance(step["task"], Task | str):
        raise InvalidInput(f"A step's task is a Task or its name, not {step['task']!r}.")
    return TaskStep(**step)


def _name_of(task: Task[Any, Any] | str) -> str:
    return task if isinstance(task, str) else task.name


def _check_known(plan: Mapping[str, Planned]) -> None:
    for step in plan.values():
        for name in step.dependencies:
            if name not in plan:
                near = difflib.get_close_matches(name, plan, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise UnknownDependency(
                    f"Step {step.step_id!r} depends on {name!r}, which is no step here. "
                    f"Steps: {', '.join(plan)}.{hint}"
                )


def _check_acyclic(plan: Mapping[str, Planned]) -> None:
    try:
        order_of(plan).prepare()
    except CycleError as error:
        circle = " → ".join(repr(name) for name in error.args[1])
        raise DependencyCycle(
            f"Steps wait for one another: {circle}. Each arrow reads 'comes before'; take one of "
            "these dependencies out."
        ) from None


def order_of(plan: Mapping[str, Planned]) -> TopologicalSorter[str]:
    """Return what tells which steps can begin."""
    return TopologicalSorter({name: step.dependencies for name, step in plan.items()})
