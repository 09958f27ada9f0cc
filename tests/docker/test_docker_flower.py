"""What Flower tells of runs and agents, by its API and on its pages, and what it does not."""

import json
from collections.abc import Callable

import pytest

from tests.docker.browser import Browser, Page
from tests.docker.stack import SECRETS, Stack, secret
from tests.services.waiting import wait_until

CANARY = "Canary Harbour Bank"
LOGIN = tuple(secret("flower_basic_auth").split(":"))
SECRET = [text for file in SECRETS.iterdir() if (text := file.read_text().strip())]
RUN_TASK, AGENT_TASK = "run.lead", "agent.copywriter"


@pytest.fixture(scope="module")
def run_id(informed: Stack) -> str:
    """A run that succeeded. Before it one failed: its agent's error repeats the payload."""
    stumble = {"flow": "docker_stumble", "payload": {"word": CANARY}, "key": "stumble"}
    lead = {"flow": "lead", "payload": {"company": CANARY, "sector": "Banks"}, "key": "flower"}
    run_ids = informed.enqueue([stumble, lead])
    assert [one["status"] for one in informed.wait(run_ids)] == ["failed", "succeeded"]
    # Flower hears of it by events, a moment later.
    wait_until(
        lambda: {RUN_TASK, AGENT_TASK} <= tasks_of(informed, run_ids[1]).keys(),
        20,
        "the run's tasks",
    )
    wait_until(lambda: "agent.docker_stumbler" in tasks_of(informed, run_ids[0]), 20, "the failure")
    return run_ids[1]


@pytest.fixture(scope="module")
def opened(stack: Stack, browser: Browser) -> Callable[[str, str], Page]:
    """Opens a page of Flower's, and looks for what no page may show."""

    def page(path: str, name: str) -> Page:
        url = f"http://{':'.join(LOGIN)}@127.0.0.1:{stack.flower_port}/{path}"
        shown = browser.open(url, name)
        assert not_to_be_seen(shown.source) == [], shown.picture
        return shown

    return page


def test_its_api_names_runs_and_agents(stack: Stack, run_id: str) -> None:
    tasks = tasks_of(stack, run_id)
    assert tasks[RUN_TASK]["args"] == f"['{run_id}']"
    assert tasks[AGENT_TASK]["args"] == f"['{run_id}', 'draft']"
    online = [one["hostname"] for one in stack.flower("workers?json=1")["data"] if one["status"]]
    assert sorted(name.partition("@")[0] for name in online) == ["agents", "orchestrators"]


def test_its_api_tells_no_payload_and_no_secret(stack: Stack, run_id: str) -> None:
    assert CANARY in json.dumps(stack.muster("runs", "show", run_id)), "nothing is hidden"
    everything = [stack.flower("api/tasks"), stack.flower("api/workers?refresh=1")]
    assert not_to_be_seen(json.dumps(everything)) == []


def test_its_pages_show_the_workers(
    run_id: str, opened: Callable[[str, str], Page], figure: Callable[[str], None]
) -> None:
    page = opened("workers", "workers")
    states = {row[0].partition("@")[0]: row[1:4] for row in page.rows if "@" in row[0]}
    assert sorted(states) == ["agents", "orchestrators"]
    assert all(state == "Online" for state, *_ in states.values())
    assert all(int(processed) > 0 for *_, processed in states.values()), "events are off"
    assert "Online workers 2" in page.words
    figure(f"pages of Flower, as Chromium shows them: {page.picture.parent}/*.png")


def test_its_pages_show_runs_and_agents_by_name(
    stack: Stack, run_id: str, opened: Callable[[str, str], Page]
) -> None:
    page = opened("tasks", "tasks")
    rows = {row[0]: row[1:4] for row in page.rows if len(row) > 3 and run_id in row[1]}
    assert {RUN_TASK, AGENT_TASK} <= rows.keys()
    assert rows[RUN_TASK][:2] == [f"['{run_id}']", "SUCCESS"]
    assert rows[AGENT_TASK][:2] == [f"['{run_id}', 'draft']", "SUCCESS"]
    assert rows[RUN_TASK][2].startswith("orchestrators@")
    assert rows[AGENT_TASK][2].startswith("agents@")
    for task in tasks_of(stack, run_id).values():
        assert f"/task/{task['uuid']}" in page.source, "a row leads to its details"


@pytest.mark.parametrize("name", [RUN_TASK, AGENT_TASK])
def test_its_pages_show_a_task(
    stack: Stack, run_id: str, opened: Callable[[str, str], Page], name: str
) -> None:
    task = tasks_of(stack, run_id)[name]
    page = opened(f"task/{task['uuid']}", f"task-{name}")
    for shown in (f"Name {name}", run_id, task["uuid"], "Status SUCCESS", "Result None"):
        assert shown in page.words


def test_its_pages_show_a_failure_without_its_words(
    stack: Stack, run_id: str, opened: Callable[[str, str], Page]
) -> None:
    page = opened("tasks?name=agent.docker_stumbler", "tasks-of-an-agent-that-failed")
    [failed] = [row for row in page.rows if "docker_stumbler" in row[0]]
    assert (failed[0], failed[2]) == ("agent.docker_stumbler", "FAILURE")
    task = next(
        task
        for task in stack.flower("api/tasks").values()
        if task["name"] == "agent.docker_stumbler"
    )
    assert f"Unsuccessful('The step failed; `muster runs show {run_of(task)}` says why.')" in (
        opened(f"task/{task['uuid']}", "task-that-failed").words
    )


def tasks_of(stack: Stack, run_id: str) -> dict[str, dict]:
    """The finished tasks of a run, by name."""
    found = stack.flower("api/tasks").values()
    finished = [task for task in found if task["state"] in {"SUCCESS", "FAILURE"}]
    return {task["name"]: task for task in finished if run_id in (task["args"] or "")}


def run_of(task: dict) -> str:
    return task["args"].partition("'")[2].partition("'")[0]


def not_to_be_seen(text: str) -> list[str]:
    return [word for word in (CANARY, *SECRET, *LOGIN[1:]) if word in text]
