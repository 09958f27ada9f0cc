"""Secrets go in by every way there is; none comes out anywhere."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
import redis
from click.testing import CliRunner

if "CI" not in os.environ:  # there it must be installed
    pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")

from control import Muster
from control.cli import muster as muster_command
from tests.rig.cluster import ROOT, Cluster
from tests.rig.scraping import scraped_text
from tests.services.otlp_sink import OtlpSink
from tests.services.ports import free_port
from tests.services.redis_server import PrivateRedis
from tests.services.waiting import wait_until

FLOWS = "tests.rig.telemetry_flows"
EVERY_WAY = "tests.rig.canary_flows"
REDIS_PASSWORD = "canary-redis-password"
CONFIGURED = {
    "MUSTER_OPENAI_API_KEY": "sk-canary-model-server-key",
    "MUSTER_OPENAI_BASE_URL": "http://user:canary-model-password@127.0.0.1:9/v1",
    "MUSTER_SMTP_URL": "smtp://user:canary-smtp-password@127.0.0.1:9",
    "MUSTER_WEBHOOK_SECRET": "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmE=",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=canary-collector-key",
}
SHAPED = (
    "sk-canary1234567890abcdef",
    "Authorization: Bearer canary1234567890abcdef",
    "postgresql://user:canary-in-a-url@host/name",
    "password=canary-in-a-pair",
)
PLAIN = "a-customer-s-words"
"""Nothing tells these from any other words: they may stand in the journal, not in telemetry."""

_ENCODED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")


@contextmanager
def overheard(port: int) -> Iterator[list[bytes]]:
    """Every command that reaches a Redis: messages, Celery's events, locks, permits, notices."""
    heard: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port)) as wire:
        wire.sendall(f"AUTH {REDIS_PASSWORD}\r\nMONITOR\r\n".encode())

        def listen() -> None:
            while piece := wire.recv(65_536):
                heard.append(piece)

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        wait_until(lambda: b"".join(heard).count(b"+OK") == 2, 10, "the monitor listens")
        heard.clear()
        yield heard
        wire.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def with_decoded(text: str) -> str:
    """The text, and what stands in it as base64: Celery writes the bodies of messages so."""
    return text + " ".join(map(_decoded, _ENCODED.findall(text)))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except binascii.Error:
        return ""


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path, database: str) -> Iterator[Cluster]:
    server = PrivateRedis().start()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", REDIS_PASSWORD)
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{server.port}/0"
    parts = urlsplit(database)  # a server that trusts everybody takes any password
    where = f"{parts.username}:canary-database-password@{parts.hostname}:{parts.port}"
    trusted = urlunsplit((parts.scheme, where, parts.path, parts.query, ""))
    made = Cluster(tmp_path, url, database if parts.password else trusted)
    try:
        yield made
    finally:
        made.stop()
        server.close()


CELERY = ("-m", "celery", "-A", "worker")
MUSTER = ("-c", "from control.cli import muster; muster()")
RUN_FAILED = 1


def said(environment: dict[str, str], *command: str) -> str:
    """What a command prints; one that did not do its work would leak nothing."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode in {0, RUN_FAILED}, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@contextmanager
def flower(environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Flower's API, which shows what workers tell."""
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "worker", "flower", f"--port={port}"]
    with (folder / "flower.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environment, "FLOWER_UNAUTHENTICATED_API": "true"},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.kill()
        process.wait()


def answer(url: str) -> str | None:
    try:
        told = httpx2.get(url, timeout=10)
    except httpx2.HTTPError:
        return None
    return told.text if told.status_code == 200 else None


@pytest.mark.timeout(240)
def test_no_canary_comes_out(cluster: Cluster, sink: OtlpSink, tmp_path: Path) -> None:
    told = {
        **CONFIGURED,
        "MUSTER_INCLUDE": FLOWS,
        "MUSTER_METRICS_PORT": str(free_port()),
        "MUSTER_OTLP_ENDPOINT": sink.url.replace("//", "//user:canary-otlp-password@"),
        "MUSTER_LOG_LEVEL": "DEBUG",
    }
    environment = {**cluster.environment, **told}
    redis_port = urlsplit(cluster.redis_url).port or 0
    with overheard(redis_port) as commands, flower(environment, tmp_path) as api:
        worker = cluster.start(environment=told)
        wait_until(lambda: answer(f"{api}/workers?refresh=true"), 60, "Flower answers")
        settings = cluster.settings.model_copy(update={"include": (FLOWS,)})
        with Muster(settings) as muster:
            wanted = [{"secret": secret, "ask": False} for secret in (*SHAPED, PLAIN)]
            wanted += [{**each, "fail": True} for each in wanted] + [{"secret": SHAPED[0]}]
            runs = [muster.enqueue("seen", payload) for payload in wanted]
            ended = {"succeeded", "failed"}
            wait_until(lambda: all(run.status() in ended for run in runs), 120, "the runs ended")
            events = json.dumps([str(event) for run in runs for event in run.events()])
            failures = json.dumps([[row.failure, row.trace] for row in muster.runs(limit=50)])
        tasks = wait_until(lambda: answer(f"{api}/tasks?limit=100"), 30, "Flower knows tasks")
        workers = answer(f"{api}/workers?refresh=true") or ""
        inspected = "".join(
            said(environment, *CELERY, "inspect", what) for what in ("conf", "stats", "registered")
        )
        shown = said(environment, *MUSTER, "config", "show", "--json")
    metrics = scraped_text(worker)
    assert worker.terminate() == 0
    sinks = {
        "log": worker.log.read_text(errors="replace"),
        "events": events,
        "failures": failures,
        "metrics": metrics,
        "spans": " ".join(body.decode("utf-8", "replace") for body in sink.bodies),
        "Redis": with_decoded(b"".join(commands).decode("utf-8", "replace")),
        "Flower's tasks": tasks,
        "Flower's workers": workers,
        "celery inspect": inspected,
        "muster config show": shown.replace(str(tmp_path), ""),  # it has the test's name
    }
    secrets = [*CONFIGURED.values(), *SHAPED, "canary"]
    leaks = {(name, secret) for name, text in sinks.items() for secret in secrets if secret in text}
    assert leaks == set()
    assert "seen-broken" in sinks["failures"]
    assert all("***" in sinks[name] for name in ("log", "events", "failures")), "nothing was masked"
    assert "run.seen" in sinks["Redis"]
    assert "run.seen" in tasks
    assert "broker_url" in inspected
    assert "MUSTER_OPENAI_API_KEY" in shown
    for name in ("metrics", "spans", "Redis", "Flower's tasks", "Flower's workers"):
        assert PLAIN not in sinks[name], f"a payload reached {name}"


def shaped(name: str) -> str:
    """A secret of its own for each way in, so that a leak says where it came from."""
    return f"sk-canary-{name}-1234567890"


WAYS = ("payload", "knowledge", "tool", "tool_error", "effect", "receipt", "approval")
LATER = ("signal", "consent", "refusal", "cancel", "cancel_queued", "tag", "user", "key", "message")


def fed(muster: Muster) -> dict[str, str]:
    """Feed secrets to runs by every way there is; return the runs by how they ended."""
    payload = {name: shaped(name) for name in WAYS}
    labels = {
        "user": shaped("user"),
        "tags": {"note": shaped("tag")},
        "allow_delivery": True,
    }
    consented, rejected, cancelled = (
        muster.enqueue("cny", payload, key=f"{shaped('key')}-{number}", **labels)
        for number in range(3)
    )
    refused = muster.enqueue("cny", {**payload, "refused": True}, **labels)
    queued = muster.enqueue("cny", payload, delay=600, **labels)
    queued.cancel(shaped("cancel_queued"))
    wait_until(lambda: cancelled.status() in {"waiting", "failed"}, 60, "a run waits")
    assert cancelled.status() == "waiting", cancelled.row().failure
    cancelled.cancel(shaped("cancel"))
    for run in (consented, rejected):
        run.signal("news", {"it": shaped("signal")})
        wait_until(lambda run=run: asked_by(muster, run.id), 60, "a run asks for consent")
    approve, reject = muster.approvals.approve, muster.approvals.reject
    approve(asked_by(muster, consented.id), by="ada", reason=shaped("consent"))
    reject(asked_by(muster, rejected.id), by="ada", reason=shaped("refusal"))
    runs = {
        "succeeded": consented.id,
        "rejected": rejected.id,
        "cancelled": cancelled.id,
        "refused": refused.id,
        "queued": queued.id,
    }
    ended = {"succeeded", "failed", "cancelled"}
    for run_id in runs.values():
        wait_until(lambda one=run_id: muster.get(one).status() in ended, 60, "the run ended")
    return runs


def asked_by(muster: Muster, run_id: str) -> str:
    rows = muster.approvals.list(run=run_id)
    return rows[0].approval_id if rows else ""


def output(*command: str) -> str:
    """What a command prints, executed here: a process for each would take minutes."""
    done = CliRunner().invoke(muster_command, command)
    assert done.exit_code in {0, RUN_FAILED}, done.output
    return done.output


def printed(runs: dict[str, str]) -> dict[str, str]:
    """What the commands say of them."""
    commands: dict[str, tuple[str, ...]] = {
        "runs list": ("runs", "list"),
        "dead list": ("dead", "list"),
        "dead show": ("dead", "show", runs["refused"]),
        "runs explain": ("runs", "explain", runs["succeeded"]),
        "approvals list": ("approvals", "list", "--state", "any"),
        "effects list": ("effects", "list"),
        "locks": ("locks",),
        "agents": ("agents",),
    }
    for how, run_id in runs.items():
        commands[f"runs show, {how}"] = ("runs", "show", run_id)
        commands[f"runs watch, {how}"] = ("runs", "watch", run_id)
    told = {}
    for name, command in commands.items():
        told[name] = output(*command)
        told[f"{name} --json"] = output(*command, "--json")
    return told


def foreign_message(redis_url: str, secret: str) -> None:
    """Somebody else's message for a flow's queue: its arguments hold a secret."""
    with redis.Redis.from_url(redis_url) as client:
        client.lpush("runs.cny", json.dumps({"args": [secret], "body": f"password={secret}"}))


@pytest.mark.timeout(280)
def test_no_secret_put_into_a_run_by_any_way_comes_out(
    cluster: Cluster, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {
        "MUSTER_INCLUDE": EVERY_WAY,
        "MUSTER_METRICS_PORT": str(free_port()),
        "MUSTER_OTLP_ENDPOINT": sink.url,
        "MUSTER_LOG_LEVEL": "DEBUG",
        "MUSTER_LOG_FORMAT": "console",
        "MUSTER_ALLOW_DELIVERY": "true",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    for name, value in {**cluster.environment, **told}.items():
        monkeypatch.setenv(name, value)
    worker = cluster.start(environment=told)
    settings = cluster.settings.model_copy(update={"include": (EVERY_WAY,), "allow_delivery": True})
    with Muster(settings) as muster:
        foreign_message(cluster.redis_url, shaped("message"))
        runs = fed(muster)
        events = {how: str([*muster.get(run).events()]) for how, run in runs.items()}
        rows = [muster.get(run).row() for run in runs.values()]
        groups = str(muster.effects.list(limit=100))
    sinks = {
        **{f"events, {how}": text for how, text in events.items()},
        "failures": json.dumps([[row.failure, row.trace] for row in rows]),
        "effects": groups,
        **printed(runs),
        "metrics": scraped_text(worker),
    }
    assert worker.terminate() == 0
    sinks["log"] = worker.log.read_text(errors="replace")
    sinks["spans"] = " ".join(body.decode("utf-8", "replace") for body in sink.bodies)
    leaks = {
        (name, way)
        for name, text in sinks.items()
        for way in (*WAYS, *LATER)
        if shaped(way) in text
    }
    assert leaks == set()
    assert "Quarantined a message" in sinks["log"]
    for event in ("cny.answered", "cny.sent", "cny.found", "cny.news", "cny.approved"):
        assert event in sinks["log"], "the secrets were never near the log"
