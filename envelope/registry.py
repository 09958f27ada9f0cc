"""A registry: named things that users add, found by name, with errors that list what exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from envelope.errors import AlreadyRegistered, NotRegistered


class Named(Protocol):
    """What a registry holds: a name, a version and the place of its definition."""

    @property
    def name(self) -> str:
        """The stable name that messages and rows carry."""

    @property
    def version(self) -> int:
        """The version, from 1."""

    @property
    def where(self) -> str:
        """Module and name of the code, for error messages."""


N = TypeVar("N", bound=Named)


class Registry(Generic[N]):
    """Holds things by name and version.

    Args:
        noun: What is held, for messages: `agent` or `flow`.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._held: dict[str, dict[int, N]] = {}
        self._versions: Mapping[str, Sequence[int]] | None = None

    def add(self, thing: N) -> N:
        """Add `thing`; adding the very same definition again (a module imported twice) is fine.

        Raises:
            AlreadyRegistered: Another definition has that name and version.
        """
        versions = self._held.setdefault(thing.name, {})
        present = versions.get(thing.version)
        if present is not None and present.where != thing.where:
            raise AlreadyRegistered(
                f"Two definitions of {self._noun} {thing.name!r} version {thing.version}: "
                f"{present.where} and {thing.where}. Rename one or give it another version."
            )
        versions[thing.version] = thing
        self._versions = None
        return thing

    def get(self, name: str, version: int | None = None) -> N:
        """Return the thing of that name, in that version or else the newest.

        Raises:
            NotRegistered: There is none; the message lists what exists and the nearest name.
        """
        versions = self._held.get(name)
        if not versions:
            raise NotRegistered(self._no_such_name(name))
        if version is None:
            return versions[max(versions)]
        if version not in versions:
            held = ", ".join(str(number) for number in sorted(versions))
            raise NotRegistered(
                f"No version {version} of {self._noun} {name!r} here; this process has: {held}."
            )
        return versions[version]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._held)

    def versions(self) -> Mapping[str, Sequence[int]]:
        """Return the versions held of each name; not to be changed: every claim of a run asks."""
        if self._versions is None:
            self._versions = {name: sorted(self._held[name]) for name in self.names()}
        return self._versions

    def __iter__(self) -> Iterator[N]:
        return (thing for name in self.names() for thing in self._held[name].values())

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def _no_such_name(self, name: str) -> str:
        held = ", ".join(self.names()) or "none"
        near = difflib.get_close_matches(name, self.names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return (
            f"No {self._noun} named {name!r}. Registered: {held}.{hint} "
            "A module of your own is loaded by MUSTER_INCLUDE or an entry point "
            f"muster.{'agents' if self._noun == 'agent' else 'orchestrators'}."
        )


def check_name(name: str, noun: str) -> None:
    """Refuse a name that cannot stand in a queue's name.

    Raises:
        ValueError: The name holds other characters than letters, digits, `_` and `-`.
    """
    if not name or not all(char.isalnum() or char in "_-" for char in name) or not name.isascii():
        raise ValueError(f"{noun} name {name!r}: use letters, digits, '_' and '-' only")
