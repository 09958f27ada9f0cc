"""How a worker process is ended: kindly first, but in the end it ends."""

from __future__ import annotations

import signal

ENDING = ((signal.SIGTERM, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, None))
"""What it is sent, and how many seconds it then has: to give its runs back, to end its tasks."""
