"""The gate lets an effect through, whether its run's trigger allowed it or not."""

from __future__ import annotations

from collections.abc import Iterator

from envelope.effect import Missing
from tests.rig.faults.planted.planting import Patch
from worker.delivery.policy import DeliveryPolicy


def _always(_policy: DeliveryPolicy, *, allow_delivery: bool) -> Iterator[Missing]:
    return iter(())


PATCHES = (Patch(DeliveryPolicy, "_permission", _always),)
