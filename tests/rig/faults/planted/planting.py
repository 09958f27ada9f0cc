"""Puts a bug into the product for the time of a test, or for the life of a worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

PLANT_VARIABLE = "MUSTER_TEST_PLANT"


@dataclass(frozen=True)
class Patch:
    """`owner.name` becomes `value`."""

    owner: Any
    name: str
    value: Any


def patches_of(bug: str) -> Sequence[Patch]:
    """What the module of that name changes."""
    found: Sequence[Patch] = import_module(f"tests.rig.faults.planted.{bug}").PATCHES
    return found


@contextmanager
def planted(bug: str | None) -> Iterator[None]:
    """Have the bug here for the time of a `with` block; None leaves the product as it is."""
    patches = patches_of(bug) if bug else ()
    before = [getattr(patch.owner, patch.name) for patch in patches]
    for patch in patches:
        setattr(patch.owner, patch.name, patch.value)
    try:
        yield
    finally:
        for patch, value in zip(patches, before, strict=True):
            setattr(patch.owner, patch.name, value)
