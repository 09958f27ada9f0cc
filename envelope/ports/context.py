"""What a flow and an agent may do: the two contexts that the engine hands to users' code."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel

from envelope.envelope import Envelope

T = TypeVar("T")

StepInput = BaseModel | Mapping[str, Any]
"""An agent's input: its input model, or a mapping that is validated against it."""


class Log(Protocol):
    """A structured logger, bound to run, step, agent and attempt."""

    def info(self, event: str, **fields: Any) -> Any:
        """Log what happened."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Log what a person should look at some day."""

    def error(self, event: str, **fields: Any) -> Any:
        """Log what a person should look at now."""


class RunContext(Protocol):
    """What a flow may do. Everything here is durable: a replay gets the recorded answer back.

    A flow must be deterministic between these calls: it takes time, ids and the outside world from
    here and from agents only.
    """

    @property
    def run_id(self) -> str:
        """The run's id."""

    @property
    def flow(self) -> str:
        """The flow's name."""

    @property
    def tenant(self) -> str:
        """Whose run it is, for fairness and separation."""

    @property
    def user(self) -> str | None:
        """The user named by the trigger."""

    @property
    def thread(self) -> str | None:
        """The user's thread named by the trigger."""

    @property
    def tags(self) -> Mapping[str, str]:
        """The run's tags."""

    @property
    def allow_delivery(self) -> bool:
        """Whether the trigger allowed effects on the outside world."""

    @property
    def log(self) -> Log:
        """A logger that is silent while recorded steps are replayed."""

    async def call(
        self,
        agent: str,
        request: StepInput,
        *,
        key: str | None = None,
        inline: bool | None = None,
    ) -> Envelope:
        """Run `agent` as a durable step and return its envelope.

        Args:
            agent: Name of a registered agent.
            request: Its input.
            key: The step's name within the run; without one it is numbered in order of calls.
            inline: Run it in this process (True), on the agent's queue (False), or as the agent
                was registered (None).

        Raises:
            StepFailed: The agent failed for good or returned an envelope of status `error`.
            NotRegistered: There is no such agent.
            InvalidInput: The input does not fit the agent's model.
            NonDeterminism: A replay recorded another step here.
        """

    async def gather(self, *calls: Awaitable[T]) -> list[T]:
        """Await several branches at once; the first failure cancels the others and is raised."""

    async def map(
        self,
        agent: str,
        requests: Iterable[StepInput],
        *,
        limit: int | None = None,
        key: str | None = None,
    ) -> list[Envelope]:
        """Call `agent` once per request, at most `limit` at a time; results keep their order."""

    def emit(self, event: str, **data: Any) -> None:
        """Append a progress event to the run, once, however often the run is replayed."""

    def now(self) -> datetime:
        """Return the present time in UTC; a replay gets the recorded one."""

    def uuid(self) -> UUID:
        """Return a fresh UUID; a replay gets the same one."""


class AgentContext(Protocol):
    """What an agent may do and know while it executes one step."""

    @property
    def run_id(self) -> str:
        """The run that the step belongs to."""

    @property
    def step(self) -> str:
        """The step's id within the run."""

    @property
    def agent(self) -> str:
        """The agent's name."""

    @property
    def attempt(self) -> int:
        """Which execution of the step this is, from 1."""

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step; hand it to receivers that deduplicate."""

    @property
    def tenant(self) -> str:
        """Whose run it is."""

    @property
    def user(self) -> str | None:
        """The user named by the trigger."""

    @property
    def thread(self) -> str | None:
        """The user's thread named by the trigger."""

    @property
    def allow_delivery(self) -> bool:
        """Whether the trigger allowed effects on the outside world."""

    @property
    def log(self) -> Log:
        """A logger bound to this attempt."""

    def resource(self, kind: type[T]) -> T:
        """Return what the composition root provides under the Protocol or class `kind`.

        Raises:
            NotRegistered: Nothing of that kind is provided; the message lists what is.
        """

    def emit(self, event: str, **data: Any) -> None:
        """Append a progress event to the run."""
