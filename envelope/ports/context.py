"""What a flow and an agent may do: the two contexts that the engine hands to users' code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel

from envelope.approval import Approval, ApprovalRequest
from envelope.effect import Effect, Send, Sent
from envelope.envelope import Envelope

T = TypeVar("T")

OnError = Literal["raise", "collect"]

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
        limit: int = 1000,
        key: str | None = None,
        on_error: OnError = "raise",
    ) -> list[Envelope]:
        """Call `agent` once per request, at most `limit` at a time; results keep their order.

        Requests are taken from the iterable as places become free. Events `map.progress` tell how
        many are done, at most twenty of them for a map.

        Args:
            agent: Name of a registered agent.
            requests: Its inputs.
            limit: How many steps are under way at once.
            key: The map's name within the run.
            on_error: `raise` cancels the rest at the first failure; `collect` puts an envelope of
                status `error` in the place of each step that failed.
        """

    def each(
        self,
        agent: str,
        requests: Iterable[StepInput],
        *,
        limit: int = 100,
        key: str | None = None,
        on_error: OnError = "raise",
    ) -> AsyncIterator[Envelope]:
        """Yield what `map` would return, in order; no more than `limit` envelopes are in memory."""

    async def sleep(self, seconds: float) -> None:
        """Wait. A long wait holds no worker and no memory, and survives any restart."""

    async def wait_for(self, signal: str, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - durable
        """Return the data of the next signal of that name; one sent before is kept for this call.

        Args:
            signal: The name, as given to `run.signal(name, data)`.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            WaitTimedOut: None came in time.
        """

    async def child(
        self,
        flow: str,
        payload: StepInput,
        *,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Envelope:
        """Run another flow as a child of this run and return its envelope.

        The child has this run's tenant, user, thread, priority, permission to deliver and budget,
        and is cancelled along with it.

        Raises:
            StepFailed: The child did not succeed.
            NotRegistered: There is no such flow.
            InvalidInput: The payload does not fit the flow's model.
        """

    async def approve(self, request: ApprovalRequest) -> Approval:
        """Wait, without holding a worker, until a person consents to exactly this.

        Neither an agent nor the user whom the run is for can consent.

        Raises:
            ApprovalRejected: A person said no.
            ApprovalExpired: Nobody decided in time.
        """

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold a lock of the cluster for as long as the block lasts; waits for its turn.

        A run that is suspended or lost within the block lets go of it, and takes it again before it
        goes on.
        """

    async def once(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `make` returned the first time; a replay does not call it again.

        For a look at the outside that is no agent's work, such as the health of a route. What it
        returns must be JSON, and it may be called again if the worker dies right after it.
        """

    def resource(self, kind: type[T]) -> T:
        """Return what the composition root provides under the Protocol or class `kind`.

        Raises:
            NotRegistered: Nothing of that kind is provided; the message lists what is.
        """

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

    async def effect(self, effect: Effect, send: Send) -> Sent:
        """Act on the outside world, at most once per key.

        The gate is asked and the intent committed, then `send` is awaited with the effect's key,
        then the outcome is committed. An effect that happened before is not repeated: its receipt
        comes back.

        Raises:
            Gated: The gate keeps it back. Left alone, the step returns an envelope of status
                `gated`.
            EffectUnknown: Nobody knows whether an earlier attempt happened.
            EffectConflict: The key was used for another act.
            NotSent: As `send` raised it; the step is tried again.
            Refused: As `send` raised it.
        """

    def resource(self, kind: type[T]) -> T:
        """Return what the composition root provides under the Protocol or class `kind`.

        Raises:
            NotRegistered: Nothing of that kind is provided; the message lists what is.
        """

    def emit(self, event: str, **data: Any) -> None:
        """Append a progress event to the run."""

    def stream(self, text: str) -> None:
        """Show a piece of text to whoever watches now, such as a model's tokens; may be lost."""
