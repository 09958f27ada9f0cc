"""What only the asyncio pool promises: a real worker, a real Redis."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.celery_probe.process import Broker, WorkerProcess, until

CONCURRENCY = 20


@pytest.fixture(scope="module")
def pool(
    new_broker: Callable[[], Broker], start_worker: Callable[..., WorkerProcess]
) -> Iterator[tuple[Broker, WorkerProcess]]:
    broker = new_broker()
    worker = start_worker(broker, "-c", str(CONCURRENCY)).ready()
    yield broker, worker
    worker.kill()


@pytest.fixture
def worker(pool: tuple[Broker, WorkerProcess]) -> WorkerProcess:
    assert not pool[1].ended, pool[1].log.read_text()
    return pool[1]


@pytest.fixture
def broker(pool: tuple[Broker, WorkerProcess]) -> Broker:
    pool[0].forget()
    return pool[0]


def inspect(broker: Broker, question: str) -> Any:
    answers = getattr(broker.app.control.inspect(timeout=5, limit=1), question)()
    (answer,) = (answers or {None: None}).values()
    return answer


def hanging(broker: Broker) -> int:
    return int(broker.redis.llen("hanging"))


def test_a_thousand_waits_run_at_once_in_little_memory(
    new_broker: Callable[[], Broker], start_worker: Callable[..., WorkerProcess]
) -> None:
    broker = new_broker()
    worker = start_worker(broker, "-c", "1000").ready()
    for _ in range(1000):
        broker.send("probe.wait_a_second")
    until(lambda: broker.redis.get("waited") == "1000", what="1,000 tasks of one second")
    until(broker.settled, what="all are acknowledged")
    assert peak_megabytes(worker.pid) < 150
    worker.kill()


def peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("no /proc here to read the memory from")
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def test_no_more_bodies_run_than_c_allows(broker: Broker, worker: WorkerProcess) -> None:
    for number in range(5 * CONCURRENCY):
        broker.send("probe.nap", 0.2, str(number))
    until(lambda: broker.redis.llen("napped") == 5 * CONCURRENCY, what="all naps are over")
    assert int(broker.redis.hget("naps", "most") or 0) == CONCURRENCY
    until(broker.settled, what="all are acknowledged")


def test_early_acknowledged_messages_are_bounded_too(broker: Broker, worker: WorkerProcess) -> None:
    for number in range(3 * CONCURRENCY):
        broker.send("probe.nap_acked_early", 0.2, str(number))
    until(lambda: broker.redis.llen("napped") == 3 * CONCURRENCY, what="all naps are over")
    assert int(broker.redis.hget("naps", "most") or 0) <= CONCURRENCY


def test_a_plain_body_runs_in_a_thread_and_does_not_block_the_loop(
    broker: Broker, worker: WorkerProcess
) -> None:
    broker.send("probe.plain", 1.5)
    broker.send("probe.add", 1, 1)
    until(lambda: broker.traces("plain"), what="the plain task ended")
    order = [row["what"] for row in map(_row, broker.redis.lrange("trace", 0, -1))]
    assert order.index("added") < order.index("plain")
    (plain,) = broker.traces("plain")
    assert plain["thread"].startswith("muster-task-")
    assert plain["pid"] == worker.pid


def _row(text: str | bytes) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(text)
    return row


def test_revoke_with_terminate_cancels_the_body(broker: Broker, worker: WorkerProcess) -> None:
    kept = broker.send("probe.nap", 1.0, "kept")
    sent = broker.send("probe.hang")
    until(lambda: hanging(broker), what="the body runs")
    broker.app.control.revoke(sent, terminate=True)
    until(lambda: broker.redis.llen("cancelled"), what="the body was cancelled")
    until(lambda: "revoked" in broker.signals("probe.hang"), what="task_revoked is sent")
    until(lambda: broker.redis.lrange("napped", 0, -1) == ["kept"], what=f"{kept} went on")
    until(broker.settled, what="the message is acknowledged")
    assert "success" not in broker.signals("probe.hang")
    assert "failure" not in broker.signals("probe.hang")


def test_revoke_reaches_a_message_that_still_waits(broker: Broker, worker: WorkerProcess) -> None:
    for number in range(CONCURRENCY):
        broker.send("probe.nap_acked_early", 3.0, str(number))
    waiting = broker.send("probe.hang")
    until(lambda: inspect(broker, "stats")["pool"]["waiting"] == 1, what="it waits in the pool")
    broker.app.control.revoke(waiting, terminate=True)
    until(lambda: "revoked" in broker.signals("probe.hang"), what="task_revoked is sent")
    until(broker.settled, what="its message is acknowledged at once")
    assert broker.redis.llen("napped") == 0
    until(lambda: broker.redis.llen("napped") == CONCURRENCY, what="the others went on")
    assert hanging(broker) == 0


def test_a_body_that_refuses_to_end_is_abandoned(broker: Broker, worker: WorkerProcess) -> None:
    sent = broker.send("probe.hang_and_refuse_to_end")
    until(lambda: hanging(broker), what="the body runs")
    broker.app.control.revoke(sent, terminate=True)
    until(lambda: inspect(broker, "stats")["pool"]["running"] == 0, what="its slot is free")


def test_the_hard_limit_ends_the_body_and_the_tracer_records_it(
    broker: Broker, worker: WorkerProcess
) -> None:
    broker.send("probe.hang", time_limit=0.3)
    until(lambda: broker.redis.llen("cancelled"), what="the body was cancelled")
    until(lambda: "postrun" in broker.signals("probe.hang"), what="postrun")
    assert broker.signals("probe.hang") == ["prerun", "failure", "postrun"]
    until(broker.settled, what="the message is acknowledged")
    assert worker.says("TimeLimitExceeded(0.3")


def test_the_hard_limit_requeues_if_the_task_says_so(broker: Broker, worker: WorkerProcess) -> None:
    sent = broker.send("probe.hang_requeued_at_its_limit", time_limit=0.3)
    until(lambda: hanging(broker) >= 2, what="it runs again after its limit")
    broker.app.control.revoke(sent, terminate=True)
    until(broker.settled, what="the message is gone")


def test_the_hard_limit_of_a_thread_is_recorded(broker: Broker, worker: WorkerProcess) -> None:
    broker.send("probe.plain", 1.5, time_limit=0.3)
    until(lambda: "failure" in broker.signals("probe.plain"), what="the failure is recorded")
    until(broker.settled, what="the message is acknowledged")
    assert inspect(broker, "stats")["pool"]["running"] == 1  # the thread keeps its slot
    until(lambda: inspect(broker, "stats")["pool"]["running"] == 0, what="the thread ended")


def test_a_body_cannot_end_the_process(broker: Broker, worker: WorkerProcess) -> None:
    broker.send("probe.exit_process")
    until(lambda: "failure" in broker.signals("probe.exit_process"), what="the task failed")
    until(broker.settled, what="the message is acknowledged")
    broker.send("probe.add", 1, 1)
    until(lambda: broker.traces("added"), what="the worker goes on")


def test_flower_and_inspect_see_what_they_expect(broker: Broker, worker: WorkerProcess) -> None:
    sent = broker.send("probe.hang")
    until(lambda: hanging(broker), what="the body runs")
    (active,) = inspect(broker, "active")
    assert (active["id"], active["name"], active["acknowledged"]) == (sent, "probe.hang", False)
    stats = inspect(broker, "stats")
    assert stats["pool"]["implementation"] == "worker.pool.asyncio_pool:TaskPool"
    assert stats["pool"]["max-concurrency"] == CONCURRENCY
    assert stats["pool"]["processes"] == [worker.pid]
    assert stats["pool"]["running"] == 1
    assert stats["prefetch_count"] == CONCURRENCY
    assert inspect(broker, "ping") == {"ok": "pong"}
    queues = {queue["name"] for queue in inspect(broker, "active_queues")}
    assert queues == {"agent.copywriter", "agent.rag", "muster", "runs.lead"}
    broker.app.control.revoke(sent, terminate=True)
    until(broker.settled, what="the message is acknowledged")


def test_events_tell_the_life_of_a_task(broker: Broker, worker: WorkerProcess) -> None:
    seen: dict[str, list[str]] = {}
    ready = threading.Event()

    def note(event: dict[str, Any]) -> None:
        if event["type"] == "worker-heartbeat":
            ready.set()
        seen.setdefault(event.get("uuid", ""), []).append(event["type"])

    connection = broker.app.connection_for_read()
    receiver = broker.app.events.Receiver(connection, handlers={"*": note})
    thread = threading.Thread(target=_capture, args=(receiver,), daemon=True)
    thread.start()
    until(ready.is_set, what="events arrive")
    good, bad = broker.send("probe.add", 1, 2), broker.send("probe.fail")
    until(lambda: "task-succeeded" in seen.get(good, ()), what="task-succeeded")
    until(lambda: "task-failed" in seen.get(bad, ()), what="task-failed")
    assert {"task-received", "task-started", "task-succeeded"} <= set(seen[good])
    receiver.should_stop = True
    thread.join(10)
    connection.release()


def _capture(receiver: Any) -> None:
    for _ in receiver.itercapture(limit=None, timeout=30, wakeup=True):
        if receiver.should_stop:
            return


def test_the_pool_grows_and_shrinks_on_command(broker: Broker, worker: WorkerProcess) -> None:
    broker.app.control.pool_grow(2, reply=True)
    assert inspect(broker, "stats")["pool"]["max-concurrency"] == CONCURRENCY + 2
    broker.app.control.pool_shrink(2, reply=True)
    assert inspect(broker, "stats")["pool"]["max-concurrency"] == CONCURRENCY
    answer = broker.app.control.pool_shrink(CONCURRENCY, reply=True)
    assert "at least one" in str(answer)
