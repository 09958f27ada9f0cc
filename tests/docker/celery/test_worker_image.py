"""Tasks, kill, restart and upgrade of our worker image during runs."""

from typing import Any

from pytest_celery import CeleryTestSetup

RUNS, STEPS = 6, 6


def test_runs_and_steps_travel_as_tasks(
    celery_setup: CeleryTestSetup, runs: Any, once: Any
) -> None:
    run_ids = runs.enqueue(celery_setup.worker.container, 3, steps=2, seconds=0.1)
    outcomes = runs.wait(celery_setup.worker.container, run_ids)
    assert [one["status"] for one in outcomes] == ["succeeded"] * 3
    assert runs.noted("done", run_ids) == once(outcomes, "old")
    assert runs.noted("done", run_ids).total() == 3 * 2
    celery_setup.worker.assert_log_exists("Task run.released_naps[")
    celery_setup.worker.assert_log_exists("Task agent.released_nap[")


def test_a_forged_task_does_nothing(celery_setup: CeleryTestSetup, runs: Any) -> None:
    app = celery_setup.app
    app.send_task(
        "run.released_naps", ["01a1feb9-3b0f-752d-b010-916f1122f9f5"], queue="runs.released_naps"
    )
    app.send_task("agent.released_nap", ["no run", "no step"], queue="agent.released_nap")
    app.send_task("agent.released_nap", [{"not": "ids"}], queue="agent.released_nap")
    worker = celery_setup.worker
    (run_id,) = runs.enqueue(worker.container, 1, steps=1, seconds=0.1)
    (outcome,) = runs.wait(worker.container, [run_id])
    assert outcome["status"] == "succeeded"
    assert {run for run, _ in runs.noted("begun", [run_id, "no run"])} == {run_id}


def test_a_killed_worker_goes_on_when_it_is_back(
    celery_setup: CeleryTestSetup, runs: Any, once: Any
) -> None:
    worker = celery_setup.worker
    run_ids = runs.enqueue(worker.container, RUNS, steps=STEPS, seconds=1.0)
    runs.until_under_way(run_ids, 2 * RUNS)
    settled = runs.noted("done", run_ids)
    worker.kill()
    worker.restart()
    outcomes = runs.wait(worker.container, run_ids)
    assert [one["status"] for one in outcomes] == ["succeeded"] * RUNS
    begun = runs.noted("begun", run_ids)
    assert begun.keys() == once(outcomes, "old").keys()
    assert len(begun) == RUNS * STEPS
    assert begun.total() > RUNS * STEPS, "nothing was under way when the worker was killed"
    # What was under way is done again; what had been committed is not.
    assert all(times <= 2 for times in begun.values())
    committed = [step for step in settled if int(step[1].partition("-")[2]) == 0]
    assert len(committed) == RUNS
    assert {begun[step] for step in committed} == {1}


def test_a_restarted_worker_repeats_nothing(
    celery_setup: CeleryTestSetup, runs: Any, once: Any
) -> None:
    worker = celery_setup.worker
    run_ids = runs.enqueue(worker.container, RUNS, steps=1, seconds=1.0, on=True)
    runs.until_under_way(run_ids, RUNS)
    worker.restart()
    done = runs.noted("done", run_ids).total()
    runs.until_under_way(run_ids, done + RUNS)
    runs.let_end()
    outcomes = runs.wait(worker.container, run_ids)
    assert [one["status"] for one in outcomes] == ["succeeded"] * RUNS
    assert runs.noted("begun", run_ids) == once(outcomes, "old")
    assert runs.noted("done", run_ids) == once(outcomes, "old")


def test_a_new_release_ends_what_the_old_one_began(
    celery_setup: CeleryTestSetup, runs: Any, once: Any, request: Any
) -> None:
    old = celery_setup.worker.container
    run_ids = runs.enqueue(old, RUNS, steps=1, seconds=1.0, on=True)
    runs.until_under_way(run_ids, RUNS)
    new = request.getfixturevalue("next_worker")
    newer = runs.enqueue(new, RUNS, steps=2, seconds=0.2)
    celery_setup.worker.kill("SIGTERM")
    runs.until_stopped(old)
    done = runs.noted("done", run_ids).total()
    runs.until_under_way(run_ids, done + RUNS)
    runs.let_end()
    outcomes, latest = runs.wait(new, run_ids), runs.wait(new, newer)
    assert [one["status"] for one in (*outcomes, *latest)] == ["succeeded"] * 2 * RUNS
    assert runs.noted("begun", run_ids) == once(outcomes, "old")
    assert runs.noted("begun", newer) == once(latest, "new")
    assert {a for one in (*outcomes, *latest) for a in one["attempts"].values()} == {1}
