"""What a process writes, seen from outside: one real process per question."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HEAD = """
import asyncio, logging, warnings
import structlog
from datetime import UTC, datetime
from envelope.running import RUNNING, Running
from envelope.usage import Usage
from worker.logs import configure, logging_context
from worker.settings import Settings

settings = Settings.load(openai_api_key="canary-value-1", redis_url="redis://:canary-pw-2@h/0")
configure(settings)
log = structlog.get_logger("muster")
"""


def written(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=tempfile.gettempdir(),  # no .env there
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout, "stdout is for results"
    return done.stderr


def lines(code: str, **environment: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(code, **environment).splitlines()]


def test_json_away_from_a_terminal() -> None:
    [line] = lines("log.info('accepted', flow='lead', n=2)")
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["event"] == "accepted"
    assert (line["level"], line["logger"]) == ("info", "muster")
    assert (line["flow"], line["n"]) == ("lead", 2)
    assert line["timestamp"].endswith("Z")


def test_lines_of_libraries_look_the_same() -> None:
    [line] = lines("logging.getLogger('celery.worker').warning('lost %s', 'it')")
    assert (line["event"], line["level"], line["logger"]) == ("lost it", "warning", "celery.worker")


def test_warnings_are_lines_too() -> None:
    [line] = lines("warnings.warn('careful')")
    assert "careful" in line["event"]
    assert line["logger"] == "py.warnings"


def test_configuring_twice_does_not_write_twice() -> None:
    assert len(lines("configure(settings); logging.basicConfig(); log.info('once')")) == 1


def test_every_line_names_what_the_context_knows() -> None:
    code = """
async def task():
    logging.getLogger("library").warning("inside")

with logging_context(run="r1", step="draft", agent="copywriter", attempt=2, trace_id="t"):
    asyncio.run(task())
log.info("outside")
"""
    inside, outside = lines(code)
    facts = ("run", "step", "agent", "attempt", "trace_id")
    assert [inside[name] for name in facts] == ["r1", "draft", "copywriter", 2, "t"]
    assert not set(facts) & set(outside)


def test_a_running_step_is_named_without_asking() -> None:
    code = """
RUNNING.set(Running("r1", "draft", "copywriter", 3, None, datetime.now(UTC), Usage()))
log.info("ours", attempt=4)
logging.getLogger("library").warning("theirs")
"""
    ours, theirs = lines(code)
    assert (ours["run"], ours["step"], ours["agent"], ours["attempt"]) == (
        "r1",
        "draft",
        "copywriter",
        4,
    )
    assert (theirs["run"], theirs["attempt"]) == ("r1", 3)
    assert "trace_id" not in ours


def test_no_secret_is_written() -> None:
    code = """
log.info("canary-value-1", url="redis://:canary-pw-2@h/0", deep={"api_key": "canary-3"})
logging.getLogger("library").warning("Bearer %s", "canary-token-4")
try:
    raise ValueError("canary-value-1 sk-canary-key-5")
except ValueError:
    log.exception("failed", password="canary-6")
    logging.getLogger("library").exception("failed")
"""
    for style in ("json", "console"):
        text = written(code, MUSTER_LOG_FORMAT=style)
        assert "canary" not in text
        assert text.count("ValueError: ***") == 2


def test_tracebacks_show_no_local_variables() -> None:
    code = """
def fail(card):
    raise ValueError("refused")

try:
    fail("-".join(["4111", "1111"]))
except ValueError:
    log.exception("failed")
"""
    text = written(code, MUSTER_LOG_FORMAT="console")
    assert "ValueError: refused" in text
    assert "4111-1111" not in text


def test_the_level_holds_for_all() -> None:
    code = "log.info('no'); logging.getLogger('x').info('no'); log.error('yes')"
    [line] = lines(code, MUSTER_LOG_LEVEL="WARNING")
    assert line["event"] == "yes"


def test_clients_do_not_tell_of_every_request() -> None:
    code = "logging.getLogger('httpx2').info('no'); logging.getLogger('openai').warning('yes')"
    [line] = lines(code)
    assert line["event"] == "yes"


def test_odd_values_still_make_a_line_of_json() -> None:
    code = """
class Broken:
    def __str__(self): raise RuntimeError

loop = []
loop.append(loop)
log.info("odd", nan=float("nan"), keys={(1, 2): 3}, broken=Broken(), loop=loop, raw=b"\\xff",
         lone="\\ud800", two="lines\\nof text")
"""
    [line] = lines(code)
    assert (line["nan"], line["keys"], line["broken"]) == ("nan", {"(1, 2)": 3}, "<Broken>")
    assert line["two"] == "lines\nof text"


def test_text_from_outside_cannot_fake_a_line_or_move_the_cursor() -> None:
    code = "log.info('name\\n2026 [info] forged \\x1b[2J', company='x\\r\\x9b1m')"
    text = written(code, MUSTER_LOG_FORMAT="console")
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    assert "\x9b" not in text


def test_a_traceback_keeps_its_lines_on_a_console() -> None:
    code = """
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""
    assert "\nZeroDivisionError: division by zero" in written(code, MUSTER_LOG_FORMAT="console")
