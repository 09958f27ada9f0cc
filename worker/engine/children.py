"""Child runs: started once, whatever becomes of the worker, and bound to their parent's life."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import UUID, uuid5

from envelope.envelope import Envelope
from envelope.failure import Failure, StepFailed
from envelope.ports.journal_rows import Hint, Run, RunState
from envelope.ports.journal_writes import NewRun, Replay
from orchestrators.singleton import singleton_key
from orchestrators.steps import ChildCall
from worker.engine.execution import RunExecution
from worker.engine.first_sending import WholeWork, send_first
from worker.engine.parts import EngineParts
from worker.engine.persist import until_written


class Children:
    """The children of one claimed run.

    Args:
        parts: What the process provides.
        execution: The parent.
        execute_here: Executes a child in this process, where there is no queue to send it to.
    """

    def __init__(
        self, parts: EngineParts, execution: RunExecution, execute_here: Callable[[str], None]
    ) -> None:
        self._parts = parts
        self._run = execution.run
        self._execute_here = execute_here
        self._starts = WholeWork()

    async def start(self, call: ChildCall) -> str:
        """Accept and send the child; a second time changes nothing. Returns its id.

        If the parent is stopped meanwhile, the child is sent all the same: that is noted already.

        Raises:
            SingletonConflict: Its flow rejects it, because another run has its singleton key.
        """
        return await self._starts.of(self._start(self._new_run(call, await self._replay(call))))

    async def _start(self, new: NewRun) -> str:
        accepted = await until_written(lambda: self._parts.journal.accept(new), self._parts.log)
        if accepted.created:
            with self._parts.telemetry.triggered(new):
                if accepted.behind is None:
                    await self._send(new)
        return accepted.run_id

    def outcome(self, ended: Run) -> str:
        """Return what the parent records of its child."""
        return json.dumps(
            {
                "run_id": ended.run_id,
                "state": ended.state.value,
                "envelope": ended.envelope,
                "failure": ended.failure,
            }
        )

    def envelope(self, call: ChildCall, outcome: str) -> Envelope:
        """Return the envelope of a child that succeeded.

        Raises:
            StepFailed: It did not.
        """
        known = json.loads(outcome)
        if known["state"] == RunState.SUCCEEDED and known["envelope"] is not None:
            return Envelope.from_json(known["envelope"], max_bytes=None)
        told = known["failure"]
        failure = Failure.model_validate_json(told) if told else _unknown(known["state"])
        details = {**failure.details, "child": known["run_id"]}
        changed = failure.model_copy(update={"step": call.slot, "details": details})
        raise StepFailed(changed, known["envelope"])

    async def _replay(self, call: ChildCall) -> Replay | None:
        """Let a replayed parent's child take over what the child had done before it failed."""
        if self._run.replay_of is None:
            return None
        before = _child_id(self._run.replay_of, call)
        ended = await until_written(lambda: self._parts.journal.ended([before]), self._parts.log)
        same = [run for run in ended if run.payload_sha256 == call.payload_sha256]
        return Replay(run_id=before) if same else None

    def _new_run(self, call: ChildCall, replay: Replay | None) -> NewRun:
        run = self._run
        said = {"tenant": run.tenant, "user": run.user, "thread": run.thread, "key": None}
        return NewRun(
            run_id=_child_id(run.run_id, call),
            flow=call.flow.name,
            version=call.flow.version,
            payload=call.payload,
            payload_sha256=call.payload_sha256,
            source="child",
            tenant=run.tenant,
            user=run.user,
            thread=run.thread,
            tags=call.tags,
            priority=run.priority,
            allow_delivery=run.allow_delivery,
            trace_id=run.trace_id,
            singleton=singleton_key(call.flow, said, call.payload),
            on_conflict=call.flow.on_conflict,
            parent_id=run.run_id,
            root_id=run.root_id or run.run_id,
            budget_tokens=run.budget_tokens,
            budget_usd=run.budget_usd,
            replay=replay,
            sent=self._parts.queue is not None,
        )

    async def _send(self, new: NewRun) -> None:
        """What cannot be sent now is sent by a reconciler."""
        queue = self._parts.queue
        if queue is None:
            self._execute_here(new.run_id)
            return
        hint = Hint(run_id=new.run_id, flow=new.flow, priority=new.priority, trace_id=new.trace_id)
        error = await send_first(queue, self._parts.journal, [hint])
        if error is not None:
            self._parts.log.warning("child.not_sent", run=new.run_id, error=error)


def _child_id(parent_id: str, call: ChildCall) -> str:
    """Return the same id at every replay of the parent."""
    return str(uuid5(UUID(parent_id), call.slot))


def _unknown(state: str) -> Failure:
    return Failure(code="CHILD_FAILED", message=f"The child run is {state}.")
