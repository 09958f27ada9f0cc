"""Loads the modules that hold agents and flows: the shipped ones and the users' own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from envelope.errors import MusterError, Terminal

_SHIPPED = ("agents.builtin", "orchestrators.builtin")
_ENTRY_POINTS = ("muster.agents", "muster.orchestrators")


class ModuleNotLoaded(Terminal):
    """A module with agents or flows could not be imported."""

    code = "MODULE_NOT_LOADED"


def load_modules(include: Iterable[str]) -> None:
    """Import the shipped modules, those of the entry points, and those of MUSTER_INCLUDE.

    The current folder is searched too, as `celery -A` does.

    Raises:
        ModuleNotLoaded: A module could not be imported; the message says which and why.
        AlreadyRegistered: Two definitions claim one name.
    """
    for name in _SHIPPED:
        importlib.import_module(name)
    for group in _ENTRY_POINTS:
        for point in entry_points(group=group):
            _load(point.value.partition(":")[0], f"entry point {point.name!r} of group {group!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    for name in include:
        _load(name, "MUSTER_INCLUDE")


def _load(name: str, asked_by: str) -> None:
    try:
        importlib.import_module(name)
    except MusterError:
        raise
    except Exception as error:
        raise ModuleNotLoaded(
            f"Cannot import module {name!r}, named by {asked_by}: {type(error).__name__}: {error}"
        ) from error
