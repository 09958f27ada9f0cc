"""`python -m control.tethered_worker …`: `celery -A worker worker …`, ended with its parent.

The parent holds the other end of standard input. When it goes, by whatever death, the worker is
ended as the parent would have ended it: no demo that was killed leaves a worker behind.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import threading
import time

from control.ending import ENDING

_STDIN = 0


def _end_with_parent() -> None:
    """`os.read`, not `sys.stdin`: its lock would be held when the interpreter ends."""
    while os.read(_STDIN, 1024):
        pass
    for number, seconds in ENDING:
        os.kill(os.getpid(), number)
        time.sleep(seconds or 0)


def main(arguments: list[str]) -> None:
    """Become the worker."""
    # Celery looks for `-A worker` in the current folder first; what is imported is not looked for.
    importlib.import_module("worker")
    threading.Thread(target=_end_with_parent, name="muster-tether", daemon=True).start()
    sys.argv = ["celery", "-A", "worker", "worker", *arguments]
    runpy.run_module("celery", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
