"""Names for steps that stay the same at every replay, whatever order concurrent branches end in."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import quote

from envelope.errors import InvalidInput

_KEY_LIMIT = 200


@dataclass(slots=True, eq=False)
class Scope:
    """A stretch of a flow that runs in order: the flow itself, or one branch of a `gather`.

    Steps are `research` (by key) or `#2` (by order of calls); branches prefix them, as in
    `#3/0/#1`. Two branches never share a counter, so their names do not depend on timing.
    """

    owner: object
    prefix: str = ""
    calls: int = 0
    values: int = 0
    emits: int = 0

    def slot(self, key: str | None) -> str:
        """Return the id of the next call."""
        if key is not None:
            return self.prefix + _escaped(key)
        self.calls += 1
        return f"{self.prefix}#{self.calls}"

    def value_slot(self) -> str:
        """Return the id of the next recorded value."""
        self.values += 1
        return f"{self.prefix}@{self.values}"

    def origin(self) -> str:
        """Return the id of the next emission."""
        self.emits += 1
        return f"{self.prefix}!{self.emits}"

    def branch(self, slot: str, index: int) -> Scope:
        """Return the scope of branch `index` of the group at `slot`."""
        return Scope(self.owner, f"{slot}/{index}/")


_SCOPE: ContextVar[Scope | None] = ContextVar("muster_scope", default=None)


def current_scope(root: Scope) -> Scope:
    """Return the branch that the present task runs, or `root` where it runs none of root's."""
    scope = _SCOPE.get()
    return scope if scope is not None and scope.owner is root.owner else root


def enter(scope: Scope) -> None:
    """Make `scope` that of the present task and of what it starts."""
    _SCOPE.set(scope)


def _escaped(key: str) -> str:
    if not key or len(key) > _KEY_LIMIT:
        raise InvalidInput(f"A step's key has 1 to {_KEY_LIMIT} characters, not {len(key)}.")
    return (
        quote(key, safe=" :@+=,;()[]!~*'", errors="replace") if key[0] not in "#@!" else quote(key)
    )
