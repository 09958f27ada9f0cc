"""What matters to companies of a sector: the topic to write about and the words to search with.

General knowledge about sectors (the eleven of the Global Industry Classification Standard), not
about any product: what a product does for them comes out of its own documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SectorProfile:
    """How to approach a sector.

    Attributes:
        topic: What to write about, as a noun phrase.
        concern: What matters there, as a clause in lower case without a full stop.
        search: Words by which documents speak of it.
    """

    topic: str
    concern: str
    search: str


_PROFILES: Final = {
    "communication services": SectorProfile(
        "automation that keeps up with sudden demand",
        "demand arrives in bursts, and the systems behind it must neither drop nor repeat work",
        "burst peak rate limit throughput concurrent workers queue waits order",
    ),
    "consumer discretionary": SectorProfile(
        "campaigns that finish, whatever happens on the way",
        "a campaign has a date, and work that stalls half-way is worth nothing the day after",
        "campaign e-mail draft delivery limit permit resume duplicate",
    ),
    "consumer staples": SectorProfile(
        "routine work that runs without supervision",
        "margins are made on routine, and routine work has to run without anybody watching it",
        "schedule retry recover restart reliable simple duplicate cost",
    ),
    "energy": SectorProfile(
        "long-running work that survives an outage",
        "work runs for long and far from the data centre, and an interruption is the normal case",
        "crash recover resume lease killed worker outage long wait durable",
    ),
    "financials": SectorProfile(
        "automated work that can be audited",
        "every automated step has to be explained afterwards, and none may happen a second time",
        "audit provenance journal committed once idempotency key approval duplicate effect",
    ),
    "health care": SectorProfile(
        "automated text that can be traced to its source",
        "a statement is worth only as much as the source that it can be traced to",
        "provenance source lineage record validated approval secret audit evidence",
    ),
    "industrials": SectorProfile(
        "processes of many steps that continue after a stop",
        "a process has many steps, and a stop in the middle costs more than any single one of them",
        "step order flow durable continue committed parallel worker crash",
    ),
    "information technology": SectorProfile(
        "durable agent runs on infrastructure that is already there",
        "teams want new capabilities without another platform that somebody has to operate",
        "celery redis worker async python queue server operate deploy interface",
    ),
    "materials": SectorProfile(
        "automation that respects the limits of a plant's systems",
        "systems behind a plant have hard limits, and automation must respect every one of them",
        "limit permit concurrency rate wait queue lock safe continue",
    ),
    "real estate": SectorProfile(
        "documents and approvals without lost threads",
        "a transaction lives on documents and approvals, and both get lost between systems",
        "document approval knowledge draft record thread wait person",
    ),
    "utilities": SectorProfile(
        "operations that continue when a machine fails",
        "supply has to continue when a machine fails, and so does the work behind it",
        "failure recover lease heartbeat takeover crash continue monitor",
    ),
}
_ANY: Final = SectorProfile(
    "automated work that is reliable",
    "automated work is useful only when it is finished, once, and can be explained",
    "durable reliable recover audit limit result",
)


def sector_profile(sector: str) -> SectorProfile:
    """Return the profile of `sector` by its name, or one that fits every company."""
    return _PROFILES.get(" ".join(sector.lower().split()), _ANY)
