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

if "CI" not in os.environ:  # there it must be installed
    pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")

from control import Muster
from tests.rig.cluster import ROOT, Cluster
from tests.rig.scraping import scraped_text
from tests.services.otlp_sink import OtlpSink
from tests.services.ports import free_port
from tests.services.redis_server import PrivateRedis
from tests.services.waiting import wait_until

FLOWS = "tests.rig.telemetry_flows"
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


def said(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
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
            said(environment, "celery", "-A", "worker", "inspect", what)
            for what in ("conf", "stats", "registered")
        )
        shown = said(environment, "control.cli", "config", "show")
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
        "muster config show": shown,
    }
    secrets = [*CONFIGURED.values(), *SHAPED, "canary"]
    leaks = {(name, secret) for name, text in sinks.items() for secret in secrets if secret in text}
    assert leaks == set()
    assert "seen-broken" in sinks["failures"]
    assert all("***" in sinks[name] for name in ("log", "events", "failures")), "nothing was masked"
    assert "run.seen" in sinks["Redis"]
    assert "run.seen" in tasks
    assert "broker_url" in inspected
    for name in ("metrics", "spans", "Redis", "Flower's tasks", "Flower's workers"):
        assert PLAIN not in sinks[name], f"a payload reached {name}"
