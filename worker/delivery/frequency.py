"""How often one recipient may be reached: the words of the settings, read in one place."""

from __future__ import annotations

import re

from envelope.ports.ledger import FrequencyCap

_GRAMMAR = re.compile(r"(?P<count>[1-9][0-9]{0,5})/(?P<length>[1-9][0-9]{0,3})(?P<unit>[dh])")
_SECONDS = {"h": 3_600.0, "d": 24 * 3_600.0}


def parse_cap(text: str) -> FrequencyCap:
    """Read `COUNT/DAYSd` or `COUNT/HOURSh`, such as `2/7d`: at most twice in seven days.

    Raises:
        ValueError: It is neither.
    """
    found = _GRAMMAR.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a count and a period")
    return FrequencyCap(
        count=int(found["count"]), seconds=int(found["length"]) * _SECONDS[found["unit"]]
    )
