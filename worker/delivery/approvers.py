"""Who may consent to what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from envelope.errors import ApprovalRefused

APPROVER = "approver"
"""The role of whoever the settings name without one."""


@dataclass(frozen=True, slots=True)
class Approvers:
    """The people who may approve, each with their roles; where none is named, anybody may."""

    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Read names, each with `:ROLE` where it is not `approver`; one with two roles twice."""
        roles: defaultdict[str, set[str]] = defaultdict(set)
        for entry in entries:
            name, _, role = entry.partition(":")
            roles[name.strip()].add(role.strip() or APPROVER)
        return cls({name: frozenset(held) for name, held in roles.items()})

    def check(self, name: str, role: str) -> None:
        """Let those pass who have the role.

        Raises:
            ApprovalRefused: This one has it not; the message says who has.
        """
        if not name.strip():
            raise ApprovalRefused("A decision needs the name of the person who makes it.")
        if not self.roles or role in self.roles.get(name, ()):
            return
        who = ", ".join(sorted(one for one, held in self.roles.items() if role in held)) or "nobody"
        raise ApprovalRefused(
            f"{name!r} has not the role {role!r}. By MUSTER_APPROVERS it is held by: {who}."
        )
