"""`python -m worker.migrate`: brings the journal's tables up to date, and does nothing else.

Every process does that when it opens the journal, one after the other. A deployment runs this
first, so that a migration which fails stops it before any worker is replaced.
"""

from __future__ import annotations

import asyncio
import sys

from envelope.errors import MusterError
from worker.journal.open import journal_for
from worker.journal.schema import head
from worker.redaction import mask_url
from worker.settings import Settings


async def migrate(url: str) -> None:
    """Open the journal, which migrates it, and close it.

    Raises:
        JournalUnavailable: The database does not answer, or its tables are newer than this code.
    """
    journal = journal_for(url)
    try:
        await journal.open()
    finally:
        await journal.close()


def main() -> None:
    """Print one line; exit code 1 where the tables could not be brought up to date."""
    try:
        url = Settings.load().journal_url
        asyncio.run(migrate(url))
    except MusterError as error:
        sys.exit(f"{error}")
    sys.stdout.write(f"The journal at {mask_url(url)} is at version {head()}.\n")


if __name__ == "__main__":
    main()
