"""`python -m benchmarks.peers.tethered_celery …`: `celery …`, killed when its parent goes.

The parent holds the other end of standard input: no benchmark that was killed leaves a worker.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

_STDIN = 0


def _end_with_parent() -> None:
    while os.read(_STDIN, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Become Celery."""
    threading.Thread(target=_end_with_parent, name="tether", daemon=True).start()
    sys.argv = ["celery", *arguments]
    runpy.run_module("celery", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
