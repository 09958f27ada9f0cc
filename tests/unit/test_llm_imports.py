"""Registering the shipped agents and flows loads no model stack and no database driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("openai", "httpx2", "genai_prices", "psycopg")


def test_what_a_process_that_only_knows_the_agents_loads() -> None:
    code = (
        "import sys, agents.builtin, orchestrators.builtin, agents.llm.factory\n"
        "agents.llm.factory.language_model(None, None, 'm', 1.0)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    made = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert made.stdout.strip() == b"[]"
