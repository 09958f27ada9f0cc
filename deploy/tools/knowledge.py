#!/opt/muster/bin/python
"""Makes a folder of documents, or else Muster's own pages, the content of the knowledge store."""

from __future__ import annotations

import sys
from pathlib import Path

from control.demo.knowledge import ingest, read_knowledge
from envelope.errors import MusterError
from worker.settings import Settings


def main(arguments: list[str]) -> None:
    """Read, ingest, print what it came to."""
    try:
        documents = read_knowledge(Path(arguments[0]) if arguments else None)
        report = ingest(Settings.load(), documents)
    except MusterError as error:
        sys.exit(f"{error}")
    sys.stdout.write(f"{report}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
