"""A worker dies between intent and outcome of a delivery: no second e-mail, no second effect."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from control import Muster, Run
from envelope.effect import EffectState
from tests.rig.cluster import Cluster, all_ended
from tests.rig.faults.history import History
from tests.rig.faults.loop import LoopThread
from tests.rig.faults.sinks import SMTP_STAGES, WEBHOOK_STAGES, Sinks
from tests.services.waiting import wait_until
from worker.settings import Settings

SEED = 20261121
_DRAFTING = "tests.rig.drafting_flows"


@dataclass
class DeliveringCluster(Cluster):
    """Workers that may send to the sinks."""

    delivery: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "MUSTER_INCLUDE": _DRAFTING,
            **self.delivery,
        }

    @property
    def settings(self) -> Settings:
        return (
            super()
            .settings.model_copy(update={"include": (_DRAFTING,)})
            .model_copy(update={"allow_delivery": True})
        )


@pytest.fixture
def sinks(tmp_path: Path) -> Iterator[Sinks]:
    thread = LoopThread("muster-sinks")
    made = Sinks.on(thread, History(tmp_path / "history.jsonl"))
    try:
        yield made
    finally:
        made.close()
        thread.close()


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str, sinks: Sinks) -> Iterator[DeliveringCluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = DeliveringCluster(
        tmp_path,
        redis_url,
        f"sqlite:///{tmp_path}/journal.sqlite3",
        delivery=sinks.environment,
    )
    try:
        yield made
    finally:
        made.stop()


class Killer:
    """Kills every worker when an exchange first reaches a stage."""

    def __init__(self, cluster: Cluster, stage: str) -> None:
        self._cluster = cluster
        self._stage = stage
        self._begun = False
        self.struck = False

    def __call__(self, stage: str) -> None:
        if stage == self._stage and not self._begun:
            self._begun = True
            self._cluster.stop()
            self.struck = True


def drafts(muster: Muster, count: int) -> Sequence[Run]:
    runs = [muster.enqueue("rig-draft", {"subject": f"Draft {n}"}) for n in range(count)]
    for run in runs:
        run.result(timeout=60)
    return runs


def deliver(muster: Muster, draft: Run, to: str, channel: str) -> Run:
    entry = {"run_id": draft.id, "to": to}
    payload = {"drafts": [entry], "channel": channel}
    return muster.enqueue("delivery", payload, allow_delivery=True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stage", SMTP_STAGES)
def test_an_e_mail_has_one_data_at_most(
    cluster: DeliveringCluster, sinks: Sinks, stage: str
) -> None:
    cluster.start()
    with cluster.client() as muster:
        (draft,) = drafts(muster, 1)
        sinks.mail.on_stage = killer = Killer(cluster, stage)
        run = deliver(muster, draft, "ada@example.org", "email")
        wait_until(lambda: killer.struck, 60, "the worker is killed in the midst of the exchange")
        cluster.start()
        wait_until(lambda: all_ended(muster, 2), 60, "the delivery has ended")
        (effect,) = muster.effects.list()
        state = run.status()
        again = deliver(muster, draft, "ada@example.org", "email")
        wait_until(lambda: all_ended(muster, 3), 60, "the second delivery has ended")
        assert again.status() == state, "another run knows of it too"
    assert sinks.mail.data_commands <= 1
    assert len(sinks.mail.mails) == (1 if stage in {"body", "answered"} else 0)
    # What the worker could not write down before it died nobody knows, and it says so.
    if effect.state is EffectState.SENT:
        assert stage == "answered"
        assert state == "succeeded"
    else:
        assert effect.state is EffectState.UNKNOWN
        assert state == "failed"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stage", WEBHOOK_STAGES)
def test_a_webhook_has_one_effect(cluster: DeliveringCluster, sinks: Sinks, stage: str) -> None:
    cluster.start()
    with cluster.client() as muster:
        (draft,) = drafts(muster, 1)
        sinks.hook.on_stage = killer = Killer(cluster, stage)
        run = deliver(muster, draft, sinks.hook.url, "webhook")
        wait_until(lambda: killer.struck, 60, "the worker is killed in the midst of the exchange")
        cluster.start()
        wait_until(lambda: all_ended(muster, 2), 60, "the delivery has ended")
        (effect,) = muster.effects.list()
        assert run.status() == "succeeded"
        assert effect.state is EffectState.SENT
    keys = {request.headers["webhook-id"] for request in sinks.hook.requests}
    assert len(keys) == 1, "who deduplicates by the key sees one effect"
    assert len({request.body for request in sinks.hook.requests}) == 1
    assert len(sinks.hook.requests) <= 2


@pytest.mark.timeout(240)
def test_kills_at_random_send_nothing_twice(cluster: DeliveringCluster, sinks: Sinks) -> None:
    chance = random.Random(SEED)
    sinks.hook.seconds = 0.05
    cluster.start()
    with cluster.client() as muster:
        written = drafts(muster, 20)
        runs = [deliver(muster, d, f"n{n}@example.org", "email") for n, d in enumerate(written)]
        runs += [deliver(muster, draft, sinks.hook.url, "webhook") for draft in written]
        for _ in range(3):
            time.sleep(chance.uniform(0.05, 0.6))  # the faults' own rhythm
            cluster.stop()
            cluster.start()
        wait_until(lambda: all_ended(muster, 60), 120, "all runs have ended")
        effects = {effect.key: effect for effect in muster.effects.list(limit=200)}
    assert len(effects) == 40
    mailed = [mail.recipients[0] for mail in sinks.mail.mails]
    assert len(mailed) == len(set(mailed)), "nobody got two"
    assert sinks.mail.data_commands <= 20
    known = {e.recipients[0] for e in effects.values() if e.state is EffectState.SENT}
    unknown = {e.recipients[0] for e in effects.values() if e.state is EffectState.UNKNOWN}
    assert set(mailed) <= known | unknown, "what may have been sent is listed"
    assert {f"n{number}@example.org" for number in range(20)} <= known | unknown
    hooked = [e for e in effects.values() if e.channel == "webhook"]
    assert {e.state for e in hooked} == {EffectState.SENT}
    assert {r.headers["webhook-id"] for r in sinks.hook.requests} == {e.key for e in hooked}
