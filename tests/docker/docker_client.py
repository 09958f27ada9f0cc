"""Runs inside the stack: accepts runs, or waits for them and prints what became of them as JSON.

`python docker_client.py enqueue < '[{"flow", "payload", "key"}]'` and `… wait < '[run ids]'`.
"""

import json
import sys

from control import Muster, RunFailed

_PATIENCE_SECONDS = 240.0


def enqueue(client: Muster, triggers: list[dict]) -> list[str]:
    return [
        client.enqueue(one["flow"], one["payload"], user="u", thread=one["key"], key=one["key"]).id
        for one in triggers
    ]


def wait(client: Muster, run_ids: list[str]) -> list[dict]:
    return [_outcome(client, run_id) for run_id in run_ids]


def _outcome(client: Muster, run_id: str) -> dict:
    run = client.get(run_id)
    try:
        records = len(run.result(timeout=_PATIENCE_SECONDS).records)
    except RunFailed:
        records = 0
    return {
        "run": run_id,
        "status": str(run.status()),
        "records": records,
        "attempts": {step.step: step.attempt for step in run.steps()},
    }


if __name__ == "__main__":
    with Muster() as muster:
        work = {"enqueue": enqueue, "wait": wait}[sys.argv[1]]
        print(json.dumps(work(muster, json.load(sys.stdin))))
