"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.catalogue import BENCHMARKS, RETRIEVAL, RETRIEVAL_HELP, benchmark
from benchmarks.machine import machine
from benchmarks.output import show, write
from benchmarks.stage import open_stage

_CONSOLE = Console(width=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the arguments name; return the exit code.

    `retrieval` has options of its own, which are handed on.
    """
    options, rest = _parser().parse_known_args(arguments)
    if options.name == RETRIEVAL:
        return int(importlib.import_module("benchmarks.retrieval").main(rest))
    if rest:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    if options.name == "list":
        _list()
        return 0
    # Whoever ends us, servers and workers end as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = list(BENCHMARKS) if options.name == "all" else [options.name]
    for name in names:
        _run(name, options)
    return 0


def _run(name: str, options: argparse.Namespace) -> None:
    """Measure one; a stage of its own lets none inherit another's rows."""
    found, facts = benchmark(name), machine()
    with open_stage(options.rounds, options.folder, postgres=not options.no_postgres) as stage:
        report = asyncio.run(found.measure(stage, found.TINY if options.tiny else None))
        if stage.databases == ("SQLite",):
            report.note("No Postgres was found, or none was wanted: its rows are missing.")
        if options.tiny:
            report.note("Tiny sizes show that it runs; these figures and ratios mean nothing.")
    show(report, _CONSOLE)
    _CONSOLE.print(f"Written to {write(report, facts, options.out)}", highlight=False)


def _list() -> None:
    table = Table("benchmark", "what it measures")
    for name, what in {**BENCHMARKS, RETRIEVAL: RETRIEVAL_HELP}.items():
        table.add_row(name, what)
    _CONSOLE.print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ("list", *BENCHMARKS, RETRIEVAL, "all")
    parser.add_argument("name", choices=names, help="what to measure; `all` leaves retrieval out")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (3)")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes: shows that it runs")
    parser.add_argument("--no-postgres", action="store_true", help="SQLite alone")
    parser.add_argument(
        "--out", type=Path, default=Path(".muster/benchmarks"), help="folder of the JSON files"
    )
    parser.add_argument(
        "--folder", type=Path, help="where servers keep data meanwhile (the temporary folder)"
    )
    return parser
