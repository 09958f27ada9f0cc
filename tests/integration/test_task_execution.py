"""Typed tasks from any program, on a real Redis: results, locks, cancels, every error code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from celery import Celery
from pydantic import BaseModel
from redis import Redis

from agents.llm.errors import InvalidOutput, ModelBusy, ModelTimeout
from agents.llm.port import Generated, LanguageModel, Prompt
from agents.retries import RetryPolicy
from agents.tasks import BRAND, COMPLEXITY, INTENT, GeneratedText, IntentAnalysis, Task, task
from control.primitives import aio as primitives
from control.primitives import check_lock, subscribe, with_lock
from control.tasks import (
    CancelStatus,
    TaskErrorCode,
    TaskExecutor,
    TaskFailed,
    TaskRequest,
    TaskResult,
    TaskStep,
    aio,
    cancel_operation,
    close,
    configure,
    execute_sequence,
    execute_task,
    execute_task_with_lock,
    is_operation_in_progress,
    operation_in_progress,
)
from envelope.errors import Cancelled, InvalidInput, LockHeld, LockLost, QueueUnavailable
from envelope.ports.budgets import Amount
from envelope.resources import Resources
from envelope.running import RUNNING
from envelope.usage import Usage
from tests.services.redis_server import PrivateRedis
from tests.services.waiting import wait_until
from worker.settings import Settings

M = TypeVar("M", bound=BaseModel)

ROOT = Path(__file__).parents[2]
ASKED = TaskRequest(user="u:1", thread="t*1", metadata={"ticket": "T-9"})
KEY = "run:u%3A1:t%2A1"
LOCK = "muster:lock:run%3Au%253A1%3At%252A1"
TEXT_DATA = {"text": "Draw a banner for Acme and write a post; it must be short."}

FAST = RetryPolicy(attempts=3, base_seconds=0.001, cap_seconds=0.002)


@pytest.fixture(autouse=True)
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        client.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
        configure(Settings.load(redis_url=redis_url))
        yield client
        close()


class Scripted:
    """A model whose answers are written down: outputs, errors, or events to wait for."""

    name = "scripted-1"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.prompts: list[Prompt] = []
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    async def generate(self, prompt: Prompt, output: type[M], **more: Any) -> Generated[M]:
        self.prompts.append(prompt)
        running, answer = RUNNING.get(), self.answers.pop(0) if self.answers else {}
        assert running is not None
        usage = Usage(requests=1, input_tokens=10, output_tokens=5, cost_usd=0.01)
        running.add_usage(usage)
        if running.meter is not None:
            async with running.meter.call(Amount(tokens=15, usd=0.01)) as charge:
                charge.used(Amount(tokens=15, usd=0.01))
        self.begun.set()
        if isinstance(answer, Exception):
            raise answer
        if answer == "for ever":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if "on_delta" in more:
            more["on_delta"]('{"text": "piece"}')
        return Generated(output.model_validate(answer), self.name, usage, prompt.sha256(output))


def told(text: str = "Hello") -> dict[str, str]:
    return {"text": text}


class Topic(BaseModel):
    text: str


def step(name: str, **parts: Any) -> Task[Topic, GeneratedText]:
    built = (
        task(name)
        .type("text_generation")
        .system_prompt("You write.")
        .user_prompt("Write about {text}.")
        .input(Topic)
        .function(GeneratedText)
        .progress(parts.pop("progress", 0))
        .retries(parts.pop("retries", FAST))
    )
    return (built.timeout(parts.pop("timeout")) if "timeout" in parts else built).build()


def executor(model: Any, **more: Any) -> TaskExecutor:
    resources = Resources()
    resources.provide(LanguageModel, lambda: model)  # type: ignore[type-abstract] # a port
    return TaskExecutor(resources=resources, **more)


def code_of(result: TaskResult[Any]) -> TaskErrorCode:
    assert not result.success
    assert result.data is None
    assert result.error is not None
    return result.error.code


def in_thread(work: Any, *args: Any, **more: Any) -> Any:
    return ThreadPoolExecutor(1).submit(work, *args, **more)


# One task


def test_a_task_is_executed_offline_and_says_all_about_it() -> None:
    result = execute_task(ASKED, TEXT_DATA, INTENT)
    assert result.success
    assert isinstance(result.data, IntentAnalysis)
    assert result.unwrap().intent == "create_image"
    assert result.lock_metadata is None
    assert result.record is not None
    assert result.record.data == result.data.model_dump()
    assert result.record.provenance.prompt_sha256
    metadata = result.execution_metadata
    assert (metadata.model, metadata.retries) == ("offline-composer-1", 0)
    assert metadata.usage == Usage(requests=1)
    assert metadata.started_at <= metadata.finished_at
    assert 0 < metadata.duration_seconds < 10
    as_json = json.loads(json.dumps(result.to_dict()))
    assert as_json["data"]["intent"] == "create_image", "all fields of the output's own model"
    assert as_json["success"] is True


def test_a_request_may_be_a_mapping() -> None:
    result = execute_task({"user": "u", "thread": "t"}, {"text": "Why?"}, INTENT)
    assert result.unwrap().intent == "ask"
    for bad in ({"user": "u"}, {"user": "", "thread": "t"}, {"user": "u", "thread": 7}, {"x": 1}):
        assert code_of(execute_task(bad, TEXT_DATA, INTENT)) == "VALIDATION_FAILED"
        assert code_of(execute_task_with_lock(bad, TEXT_DATA, INTENT)) == "VALIDATION_FAILED"


def test_bad_input_is_refused_before_the_model_is_asked() -> None:
    model = Scripted()
    result = executor(model).execute_task(ASKED, {"txt": "x"}, INTENT)
    assert code_of(result) == "VALIDATION_FAILED"
    assert result.error is not None
    assert "text" in result.error.message
    assert model.prompts == []
    with pytest.raises(TaskFailed, match="VALIDATION_FAILED: IntentRequest"):
        result.unwrap()


def test_a_config_that_is_no_task_is_refused() -> None:
    for config in ("intent", None, INTENT.output):
        assert code_of(execute_task(ASKED, TEXT_DATA, config)) == "VALIDATION_FAILED"  # type: ignore[arg-type] # on purpose


def test_output_that_stays_invalid_is_validation_too() -> None:
    result = executor(Scripted(InvalidOutput("no"))).execute_task(ASKED, told(), step("a"))
    assert code_of(result) == "VALIDATION_FAILED"
    assert result.error is not None
    assert result.error.cause == "MODEL_OUTPUT_INVALID"


def test_attempts_are_repeated_counted_and_paid() -> None:
    model = Scripted(ModelBusy("busy"), ModelBusy("busy"), told())
    result = executor(model).execute_task(ASKED, told("x"), step("a"))
    assert result.unwrap() == GeneratedText(text="Hello")
    assert result.execution_metadata.retries == 2
    assert result.execution_metadata.usage.requests == 3
    assert result.execution_metadata.usage.cost_usd == pytest.approx(0.03)


def test_what_stays_broken_is_an_execution_failure() -> None:
    model = Scripted(*[ModelBusy("busy", retry_after=0.001)] * 3)
    result = executor(model).execute_task(ASKED, told("x"), step("a"))
    assert code_of(result) == "TASK_EXECUTION_FAILED"
    assert result.error is not None
    assert (result.error.cause, result.error.retryable) == ("MODEL_BUSY", True)
    assert result.error.retry_after == 0.001
    assert (result.execution_metadata.retries, result.execution_metadata.usage.requests) == (2, 3)
    result = executor(Scripted(KeyError("x"))).execute_task(ASKED, told("x"), step("a"))
    assert code_of(result) == "TASK_EXECUTION_FAILED"
    assert result.error is not None
    assert result.error.cause == "KeyError"
    assert result.error.step == "a"


def test_locks_that_a_task_wants_for_itself_are_its_own_affair() -> None:
    for error in (LockHeld("another's"), LockLost("another's"), Cancelled("by itself")):
        once = step("a", retries=0)
        result = executor(Scripted(error)).execute_task_with_lock(ASKED, told("x"), once)
        assert code_of(result) == "TASK_EXECUTION_FAILED"
        assert result.error is not None
        assert result.error.cause == error.code


def test_a_task_has_a_time_limit() -> None:
    slow = step("a", timeout=0.05, retries=0)
    result = executor(Scripted("for ever")).execute_task(ASKED, told("x"), slow)
    assert code_of(result) == "TIMEOUT"
    assert result.error is not None
    assert "0.05 s" in result.error.message
    once = executor(Scripted(ModelTimeout("slow"))).execute_task(
        ASKED, told(), step("a", retries=0)
    )
    assert code_of(once) == "TIMEOUT"


def test_a_budget_covers_all_attempts_and_tasks() -> None:
    poor = ASKED.model_copy(update={"budget_tokens": 40})
    model = Scripted(told("one"), told("two"), told("three"))
    steps = [step("a"), step("b"), step("c")]
    result = executor(model).execute_sequence(poor, told("x"), steps)
    assert list(result.outputs) == ["a", "b"]
    assert result.error is not None
    assert (result.error.code, result.error.step) == ("BUDGET_EXCEEDED", "c")
    cheap = ASKED.model_copy(update={"budget_usd": 0.005})
    refused = executor(Scripted(told())).execute_task(cheap, told("x"), step("a"))
    assert code_of(refused) == "BUDGET_EXCEEDED"


def test_progress_and_pieces_of_text_are_told() -> None:
    pieces: list[str] = []
    events: list[tuple[str, Mapping[str, Any]]] = []
    told_to = executor(
        Scripted(told()),
        on_delta=pieces.append,
        on_event=lambda name, data: events.append((name, data)),
    )
    assert told_to.execute_task(ASKED, told("x"), step("a", progress=0.5)).success
    assert pieces == ["piece"]
    assert [name for name, _ in events] == ["task.progress"]
    (event,) = subscribe(ASKED.key, silence=0.05)
    assert (event.step, event.progress) == ("a", 0.5)
    assert event.data["model"] == "scripted-1"


# Locks


def test_the_lock_is_held_readable_and_told_about() -> None:
    model = Scripted("for ever")
    working = in_thread(executor(model).execute_task_with_lock, ASKED, told("x"), step("a"), ttl=30)
    assert model.begun.wait(10)
    assert is_operation_in_progress("u:1", "t*1")
    assert not is_operation_in_progress("u:1", "t")
    found = operation_in_progress("u:1", "t*1")
    assert found is not None
    assert (found.task, found.metadata["ticket"]) == ("a", "T-9")
    assert found.holder.endswith(f":{os.getpid()}")
    assert 0 < found.lock_expires_in <= 30
    refused = execute_task_with_lock(ASKED, TEXT_DATA, INTENT)
    assert code_of(refused) == "LOCK_ACQUISITION_FAILED"
    assert refused.error is not None
    assert "task a" in refused.error.message
    assert refused.error.retryable
    assert refused.lock_metadata is None
    assert execute_task(ASKED, TEXT_DATA, INTENT).success, "without the lock nothing is in the way"
    assert cancel_operation("u:1", "t*1").status is CancelStatus.CANCELLED
    assert code_of(working.result(10)) == "CANCELLED"
    assert check_lock(KEY) is None


def test_lock_metadata_comes_with_the_result() -> None:
    result = execute_task_with_lock(ASKED, TEXT_DATA, INTENT, ttl=60)
    assert result.success
    lock = result.lock_metadata
    assert lock is not None
    assert lock.key == KEY
    assert lock.fence > 0
    assert lock.released_at is not None
    assert lock.acquired_at < lock.released_at
    assert 0 < lock.held_seconds < 10
    assert "token" not in json.dumps(result.to_dict()["lock_metadata"])
    later = execute_task_with_lock(ASKED, TEXT_DATA, INTENT)
    assert later.lock_metadata is not None
    assert later.lock_metadata.fence > lock.fence


def test_a_lock_is_waited_for_in_turn(redis: Redis) -> None:
    with with_lock(KEY):
        waiting = in_thread(execute_task_with_lock, ASKED, TEXT_DATA, INTENT, wait=20)
        queue = LOCK.replace("muster:lock:", "muster:lock-queue:")
        wait_until(lambda: redis.exists(queue), 10, "it stands in line")
        assert not waiting.done()
    assert waiting.result(20).success


def test_a_lock_that_is_lost_is_never_a_success(redis: Redis) -> None:
    model = Scripted("for ever")
    quick = executor(model).execute_task_with_lock
    working = in_thread(quick, ASKED, told("x"), step("a"), ttl=1.5)
    assert model.begun.wait(10)
    redis.hset(LOCK, "owner", "a thief")
    result = working.result(20)
    assert code_of(result) == "LOCK_LOST"
    assert model.cancelled.is_set(), "the work was stopped"
    assert result.lock_metadata is not None
    assert result.lock_metadata.released_at is None
    assert redis.hget(LOCK, "owner") == "a thief", "the thief's lock is left alone"


def test_a_lock_lost_in_the_last_moment_is_no_success_either(redis: Redis) -> None:
    class Thief(Scripted):
        async def generate(self, prompt: Prompt, output: type[M], **more: Any) -> Generated[M]:
            made = await super().generate(prompt, output, **more)
            redis.hset(LOCK, "owner", "a thief")
            return made

    done = executor(Thief(told())).execute_task_with_lock(ASKED, told("x"), step("a"), ttl=60)
    assert code_of(done) == "LOCK_LOST"


def test_odd_terms_are_refused() -> None:
    for ttl in (0, -1, float("nan")):
        assert code_of(execute_task_with_lock(ASKED, TEXT_DATA, INTENT, ttl=ttl)) == (
            "VALIDATION_FAILED"
        )


def test_redis_away_fails_the_lock_and_not_the_bare_task() -> None:
    server = PrivateRedis().start()
    configure(Settings.load(redis_url=server.url))
    server.close()
    result = execute_task_with_lock(ASKED, TEXT_DATA, INTENT)
    assert code_of(result) == "LOCK_ACQUISITION_FAILED"
    assert result.error is not None
    assert (result.error.cause, result.error.retryable) == ("QUEUE_UNAVAILABLE", True)
    assert execute_task(ASKED, TEXT_DATA, INTENT).success, "its progress is lost, its work is not"
    with pytest.raises(QueueUnavailable):
        is_operation_in_progress("u", "t")


def test_interrupts_reach_the_caller_and_free_the_lock() -> None:
    async def main() -> None:
        model = Scripted("for ever")
        work = asyncio.create_task(
            executor(model).aio.execute_task_with_lock(ASKED, told("x"), step("a"))
        )
        await asyncio.to_thread(model.begun.wait, 10)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert model.cancelled.is_set()
        assert await primitives.check_lock(KEY) is None

    asyncio.run(main())


class SoftLimit(Exception):
    """As Celery raises it in the middle of a task."""


def test_a_soft_time_limit_stops_the_work_and_frees_the_lock() -> None:
    model = Scripted("for ever")

    def strike(number: int, frame: object) -> None:
        raise SoftLimit

    before = signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(SoftLimit):
            executor(model).execute_task_with_lock(ASKED, told("x"), step("a"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert model.cancelled.wait(10)
    wait_until(lambda: check_lock(KEY) is None, 10, "the lock is free")


# Cancel


def test_nothing_to_cancel() -> None:
    done = cancel_operation("u:1", "t*1")
    assert (done.status, done.stopped, done.operation) == (CancelStatus.NOT_FOUND, False, None)
    with pytest.raises(InvalidInput):
        cancel_operation("", "t")


def test_what_is_no_task_is_left_alone() -> None:
    with with_lock(KEY, why="singleton of run r-1 (lead)") as held:
        done = cancel_operation("u:1", "t*1")
        assert done.status is CancelStatus.NOT_A_TASK
        assert "singleton of run r-1 (lead)" in done.message
        assert not held.lost


def test_work_that_ends_by_itself_is_not_called_cancelled() -> None:
    async def main() -> None:
        release = asyncio.Event()

        class Stubborn(Scripted):
            async def generate(self, prompt: Prompt, output: type[M], **more: Any) -> Generated[M]:
                self.begun.set()
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    await release.wait()
                    raise
                return Generated(output.model_validate(told()), "m", Usage(), "0" * 64)

        model = Stubborn()
        work = asyncio.create_task(
            executor(model).aio.execute_task_with_lock(ASKED, told("x"), step("a"))
        )
        await asyncio.to_thread(model.begun.wait, 10)
        asked = await aio.cancel_operation("u:1", "t*1", reason="too late", wait=0.3)
        assert asked.status is CancelStatus.REQUESTED
        assert "has not stopped yet" in asked.message
        release.set()
        result = await work
        assert code_of(result) == "CANCELLED"
        assert result.error is not None
        assert result.error.message == "too late"

    asyncio.run(main())


# Sequences


def test_a_sequence_hands_outputs_on() -> None:
    result = execute_sequence(ASKED, TEXT_DATA, ["intent", BRAND, "complexity"])
    assert result.success
    assert result.error is None
    assert list(result.results) == ["intent", "brand", "complexity"]
    assert result.data is result.outputs["complexity"]
    assert result.lock_metadata is not None
    assert result.execution_metadata.usage.requests == 3
    told_of = [(event.step, event.progress) for event in subscribe(ASKED.key, silence=0.05)]
    assert told_of == [("intent", 0.25), ("brand", 0.5), ("complexity", 0.75)]
    as_json = json.loads(json.dumps(result.to_dict()))
    assert as_json["results"]["brand"]["data"]["name"] == "Acme"


def test_the_latest_output_wins_over_the_input() -> None:
    model = Scripted(told("first"), told("second"), told("third"))
    done = executor(model).execute_sequence(ASKED, told("begin"), [step("a"), step("a"), step("b")])
    assert [prompt.task["text"] for prompt in model.prompts] == ["begin", "first", "second"]
    assert list(done.results) == ["a", "a-2", "b"]
    assert done.data == GeneratedText(text="third")


def test_a_whole_output_goes_to_the_field_of_its_name() -> None:
    model = Scripted(
        {"intent": "ask", "confidence": 1, "summary": "A question.", "names": []},
        {"level": "simple", "score": 0, "steps": 1, "tier": "fast", "reasons": []},
    )
    done = executor(model).execute_sequence(ASKED, {"text": "Why?"}, [INTENT, COMPLEXITY])
    assert done.success
    given = model.prompts[1].task
    assert given["intent"] == {
        "intent": "ask",
        "confidence": 1.0,
        "summary": "A question.",
        "names": [],
    }
    assert given["text"] == "Why?"


def test_a_step_may_prepare_its_input_itself() -> None:
    model = Scripted(told("first"), told("second"))
    second = TaskStep(
        task=step("b"),
        prepare=lambda data, outputs: {"text": f"{data['text']} and {outputs['a'].text}"},  # type: ignore[attr-defined] # a GeneratedText
    )
    done = executor(model).execute_sequence(ASKED, told("begin"), [step("a"), second])
    assert done.success
    assert model.prompts[1].task["text"] == "begin and first"
    broken = TaskStep(task=step("b"), prepare=lambda data, outputs: data["nothing"])
    done = executor(Scripted(told())).execute_sequence(ASKED, told("x"), [step("a"), broken])
    assert done.error is not None
    assert (done.error.code, done.error.step) == ("TASK_EXECUTION_FAILED", "b")


def test_a_sequence_stops_at_the_first_failure_with_what_was_done() -> None:
    model = Scripted(told("one"), KeyError("broken"))
    steps = [step("a"), step("b"), step("c")]
    done = executor(model).execute_sequence(ASKED, told("x"), steps)
    assert not done.success
    assert done.error is not None
    assert (done.error.code, done.error.step) == ("TASK_EXECUTION_FAILED", "b")
    assert list(done.results) == ["a", "b"]
    assert done.outputs == {"a": GeneratedText(text="one")}
    assert done.unfinished == ("c",)
    assert done.data is None
    assert done.lock_metadata is not None
    assert done.execution_metadata.usage.requests == 2
    with pytest.raises(TaskFailed, match="TASK_EXECUTION_FAILED"):
        done.unwrap()


def test_a_sequence_that_is_cancelled_says_what_was_done() -> None:
    model = Scripted(told("one"), "for ever")
    run = executor(model).execute_sequence
    working = in_thread(run, ASKED, told("x"), [step("a"), step("b"), step("c")])
    wait_until(lambda: len(model.prompts) == 2, 10, "the second is under way")
    assert cancel_operation("u:1", "t*1", reason="changed my mind").stopped
    done = working.result(10)
    assert done.error is not None
    assert (done.error.code, done.error.message) == ("CANCELLED", "changed my mind")
    assert list(done.results) == ["a"]
    assert done.unfinished == ("b", "c")
    assert model.cancelled.is_set()
    assert done.execution_metadata.usage.requests == 2, "what was stopped is paid for too"


def test_nothing_and_nonsense_are_refused() -> None:
    for tasks in ([], ["nonsense"], [TaskStep(task=INTENT, step_id="a")] * 2):
        done = execute_sequence(ASKED, TEXT_DATA, tasks)
        assert done.error is not None
        assert done.error.code == "VALIDATION_FAILED"
    for data in (None, "text", 7):
        done = execute_sequence(ASKED, data, [INTENT])  # type: ignore[arg-type] # on purpose
        assert done.error is not None
        assert done.error.code == "VALIDATION_FAILED"


# From other surroundings


def test_any_number_of_loops_and_threads() -> None:
    async def main() -> list[TaskResult[Any]]:
        many = [TaskRequest(user="u", thread=f"t{n}") for n in range(20)]
        return await asyncio.gather(
            *(aio.execute_task_with_lock(asked, TEXT_DATA, INTENT) for asked in many)
        )

    assert all(result.success for result in asyncio.run(main()))
    assert all(result.success for result in asyncio.run(main()))  # another loop
    with ThreadPoolExecutor(8) as threads:
        futures = [
            threads.submit(
                execute_task_with_lock, {"user": "u", "thread": f"t{n}"}, TEXT_DATA, INTENT
            )
            for n in range(8)
        ]
        assert all(future.result(30).success for future in futures)


def test_a_celery_task_of_any_app() -> None:
    app = Celery("theirs", broker="memory://", set_as_current=False)

    @app.task(name="task_execution.understand")  # type: ignore[untyped-decorator]
    def understand(user: str, thread: str, text: str) -> dict[str, Any]:
        asked = TaskRequest(user=user, thread=thread)
        return execute_task_with_lock(asked, {"text": text}, INTENT, ttl=60).to_dict()

    result = understand.apply(args=["u", "t", "Why?"]).get()
    assert result["data"]["intent"] == "ask"
    assert json.dumps(result)


HOLDER = """
import asyncio, sys
from agents.llm.port import LanguageModel
from agents.tasks import INTENT
from control.tasks import TaskExecutor, configure
from envelope.resources import Resources
from worker.settings import Settings

class Slow:
    name = "slow"
    async def generate(self, prompt, output, **more):
        print("begun", flush=True)
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            print("stopped", flush=True)
            raise

configure(Settings.load(redis_url=sys.argv[1]))
resources = Resources()
resources.provide(LanguageModel, Slow)
asked = {"user": "u:1", "thread": "t*1"}
result = TaskExecutor(resources=resources).execute_task_with_lock(
    asked, {"text": "x"}, INTENT, ttl=float(sys.argv[2])
)
print(result.error.code, "|", result.error.message, flush=True)
"""


class Holder:
    """Another process that executes a task for ever."""

    def __init__(self, url: str, ttl: float = 900) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, url, str(ttl)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.said() == "begun"

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def holder(redis_url: str) -> Iterator[Holder]:
    made = Holder(redis_url)
    yield made
    made.end()


def test_work_in_another_process_is_refused_seen_and_cancelled(holder: Holder) -> None:
    assert code_of(execute_task_with_lock(ASKED, TEXT_DATA, INTENT)) == "LOCK_ACQUISITION_FAILED"
    found = operation_in_progress("u:1", "t*1")
    assert found is not None
    assert found.holder.endswith(f":{holder.process.pid}")
    started = time.monotonic()
    done = cancel_operation("u:1", "t*1", reason="the user left")
    took = time.monotonic() - started
    assert done.status is CancelStatus.CANCELLED
    assert done.operation is not None
    assert done.operation.task == "intent"
    assert holder.said() == "stopped"
    assert holder.said() == "CANCELLED | the user left"
    assert execute_task_with_lock(ASKED, TEXT_DATA, INTENT).success
    print(f"cancelled across processes in {took * 1000:.0f} ms")
    assert took < 5


def test_a_lost_wake_up_only_delays_the_cancel(holder: Holder, redis: Redis) -> None:
    found = operation_in_progress("u:1", "t*1")
    assert found is not None
    redis.set(f"muster:shared:task-cancel%3A{found.operation}", "by the mark alone", ex=60)
    assert holder.said() == "stopped"
    assert holder.said() == "CANCELLED | by the mark alone"


def test_a_killed_process_blocks_the_thread_no_longer_than_its_term(redis_url: str) -> None:
    dead = Holder(redis_url, ttl=1.0)
    dead.end()
    result = execute_task_with_lock(ASKED, TEXT_DATA, INTENT, wait=20)
    assert result.success


def test_force_takes_the_lock_of_a_dead_process(redis_url: str) -> None:
    dead = Holder(redis_url)
    dead.end()
    asked = cancel_operation("u:1", "t*1", wait=0.05)
    assert asked.status is CancelStatus.REQUESTED
    assert not asked.stopped
    assert "the lock lapses in" in asked.message
    done = cancel_operation("u:1", "t*1", wait=0.05, force=True)
    assert done.status is CancelStatus.FORCED
    assert f":{dead.process.pid}" in done.message
    assert execute_task_with_lock(ASKED, TEXT_DATA, INTENT).success


def test_force_stops_a_living_process_that_does_not_hear(holder: Holder, redis: Redis) -> None:
    held = check_lock(KEY)
    assert held is not None
    redis.hset(LOCK, "metadata", json.dumps({**held.metadata, "operation": "another"}))
    done = cancel_operation("u:1", "t*1", wait=0.05, force=True)
    assert done.status is CancelStatus.FORCED
    assert holder.said() == "stopped"
    assert holder.said().startswith("LOCK_LOST |")


def test_two_processes_contend_and_one_wins(redis_url: str) -> None:
    counter = """
import sys
from agents.llm.offline_model import OfflineModel
from agents.tasks import INTENT
from control.tasks import configure, execute_task_with_lock
from worker.settings import Settings

configure(Settings.load(redis_url=sys.argv[1]))
done = [
    execute_task_with_lock({"user": "u:1", "thread": "t*1"}, {"text": "x"}, INTENT, wait=30)
    for _ in range(20)
]
print(*(f"{one.lock_metadata.fence}:{one.success}" for one in done))
"""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", counter, redis_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in both]
    fences = [int(one.split(":")[0]) for words in said for one in words]
    assert len(fences) == 40
    assert len(set(fences)) == 40, "no two held it at once"
    assert all(one.endswith("True") for words in said for one in words)
