"""`python -m tests.rig.faults.hasty_client`: asks for run after run until it is killed."""

from __future__ import annotations

import sys

from control import Muster
from tests.rig.faults.client import Client, Wish
from tests.rig.faults.history import History
from worker.settings import Settings

_CHAIN = {"name": "hasty", "steps": 1}

if __name__ == "__main__":
    with Muster(Settings.load()) as muster:
        client = Client(muster, History.of_environment())
        for number in range(int(sys.argv[1])):
            client.submit(Wish("rig-chain", _CHAIN, expect=("queued",)), f"key-{number}")
