"""What a replay knows: the recorded steps of a run, and which of them the flow has met again."""

from __future__ import annotations

from collections.abc import Sequence

from envelope.errors import InvalidInput, NonDeterminism
from envelope.ports.journal_rows import SETTLED_STATES, Step
from orchestrators.steps import StepCall

_EXECUTED = frozenset({"agent", "undo"})


class History:
    """The recorded steps and emissions of a run at the moment of its claim.

    Args:
        steps: Every step that the journal has.
        origins: Every emission that it has.
    """

    def __init__(self, steps: Sequence[Step], origins: frozenset[str]) -> None:
        self._recorded = {step.step: step for step in steps if step.kind in _EXECUTED}
        self._values = {step.step: step for step in steps if step.kind not in _EXECUTED}
        # A cancelled flow comes to its compensations by another way than the rest.
        self._unmet = {
            name for name, step in self._recorded.items() if _settled(step) and step.kind == "agent"
        }
        self._origins = origins
        self._met: set[str] = set()
        self._abandoned: list[str] = []

    @property
    def replaying(self) -> bool:
        """Whether settled steps remain that the flow has not met again."""
        return bool(self._unmet)

    def unread(self) -> int:
        """Return how many settled steps the flow has not met again."""
        return len(self._unmet)

    def meet(self, call: StepCall) -> Step | None:
        """Return the recorded step that `call` stands for, or None for a new one.

        Raises:
            NonDeterminism: Another step was recorded under this id.
            InvalidInput: The flow used the key twice.
        """
        if call.slot in self._met:
            raise InvalidInput(f"Two steps of this run have the key {call.slot!r}.")
        self._met.add(call.slot)
        self._unmet.discard(call.slot)
        recorded = self._recorded.get(call.slot)
        if recorded is not None:
            _same_step(recorded, call)
        return recorded

    def check_new(self, call: StepCall) -> None:
        """Refuse a new step while its stretch of the flow recorded one that was not met again.

        Raises:
            NonDeterminism: The message names both.
        """
        if not self._unmet or call.slot.rpartition("/")[2].isdigit():
            return  # items of a map start in any order
        scope = _scope(call.slot)
        missed = next((name for name in sorted(self._unmet) if _scope(name) == scope), None)
        if missed is not None:
            raise NonDeterminism(_changed(self._recorded[missed], call))

    def check_complete(self) -> None:
        """Refuse an ending that left recorded steps unmet, but for those given up by the flow.

        Raises:
            NonDeterminism: The message names the step.
        """
        missed = [name for name in sorted(self._unmet) if not self._was_abandoned(name)]
        if missed:
            step = self._recorded[missed[0]]
            raise NonDeterminism(
                f"The run recorded step {step.step!r} ({step.agent}), but its replay ended without "
                "meeting it. The flow's code changed under the run: give the changed flow a new "
                "version and keep the old one registered until its runs have ended."
            )

    def abandon(self, prefix: str) -> None:
        """Note that steps below `prefix` were given up by the flow."""
        self._abandoned.append(prefix)

    def value(self, slot: str) -> str | None:
        """Return the value recorded under `slot`."""
        recorded = self._values.get(slot)
        return recorded.result if recorded else None

    def recorded(self, kind: str) -> Sequence[str]:
        """Return the recorded values of one kind."""
        return [step.result for step in self._values.values() if step.kind == kind and step.result]

    def emitted(self, origin: str) -> bool:
        """Return whether the event of `origin` is in the journal."""
        return origin in self._origins

    def _was_abandoned(self, name: str) -> bool:
        return any(name.startswith(prefix) for prefix in self._abandoned)


def _settled(step: Step) -> bool:
    return step.state in SETTLED_STATES


def _scope(slot: str) -> str:
    return slot.rpartition("/")[0]


def _same_step(recorded: Step, call: StepCall) -> None:
    same_input = recorded.input_sha256 == call.request_sha256
    if recorded.agent == call.agent.name and same_input:
        return
    raise NonDeterminism(_changed(recorded, call))


def _changed(recorded: Step, call: StepCall) -> str:
    return (
        f"The run recorded step {recorded.step!r} (agent {recorded.agent}, input "
        f"{recorded.input_sha256[:12]}), but its replay asks for {call.slot!r} (agent "
        f"{call.agent.name}, input {call.request_sha256[:12]}). The flow's code changed under the "
        "run, or it depends on something that is not recorded: give the changed flow a new version "
        "and keep the old one registered until its runs have ended."
    )
