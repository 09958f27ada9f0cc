"""The scripts of the ledger in Redis; `ledger.lua` lists every key that they touch."""

from __future__ import annotations

from pathlib import Path

NAMES = ("batch", "look", "sweep", "open", "report", "count")


def script(name: str) -> str:
    """Return a script's text, which begins with what all of them share."""
    folder = Path(__file__).parent
    shared = (folder / "ledger.lua").read_text("utf-8")
    return shared + (folder / f"{name}.lua").read_text("utf-8")
