"""Leaves a trace of each of Celery's task signals."""

from typing import Any

from celery import signals

from tests.integration.celery_probe.trace import leave


def _leave(name: str) -> Any:
    def receive(sender: Any = None, **_: Any) -> None:
        leave("signal", signal=name, task=getattr(sender, "name", None))

    return receive


for signal_name in ("prerun", "postrun", "success", "failure", "retry", "revoked"):
    signal = getattr(signals, f"task_{signal_name}")
    signal.connect(_leave(signal_name), weak=False)
