"""A report as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Ratio, Report, Sample, Section


def show(report: Report, console: Console) -> None:
    """Print the report."""
    console.rule(f"[bold]{report.benchmark}[/bold]: {report.title}")
    for section in report.sections:
        console.print(_samples(section))
        if section.ratios:
            console.print(_ratios(section))
    for note in report.notes:
        console.print(f"· {note}", highlight=False)


def write(report: Report, machine: Mapping[str, object], folder: Path) -> Path:
    """Write the report to `folder/BENCHMARK.json` and return that path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.benchmark}.json"
    path.write_text(json.dumps(as_json(report, machine), indent=2) + "\n", encoding="utf-8")
    return path


def as_json(report: Report, machine: Mapping[str, object]) -> dict[str, Any]:
    """Return the report as JSON, with every value of every round."""
    return {
        "benchmark": report.benchmark,
        "title": report.title,
        "machine": dict(machine),
        "sections": [
            {
                "title": section.title,
                "samples": [_sample_json(sample) for sample in section.samples],
                "ratios": [_ratio_json(ratio) for ratio in section.ratios],
            }
            for section in report.sections
        ],
        "notes": list(report.notes),
    }


def _sample_json(sample: Sample) -> dict[str, Any]:
    return {**asdict(sample), "median": sample.median, "spread": sample.spread}


def _ratio_json(ratio: Ratio) -> dict[str, Any]:
    return {
        "over": [ratio.over.contender, ratio.over.figure],
        "under": [ratio.under.contender, ratio.under.figure],
        "each": ratio.each,
        "value": ratio.value,
        "target": str(ratio.target) if ratio.target else None,
        "met": ratio.met,
    }


def _samples(section: Section) -> Table:
    table = Table("contender", "figure", title=section.title, title_justify="left")
    for name in ("median", "±", "rounds"):
        table.add_column(name, justify="right")
    for sample in section.samples:
        table.add_row(
            sample.contender,
            sample.figure,
            _number(sample.median),
            f"{sample.spread:.0%}",
            str(len(sample.values)),
        )
    return table


def _ratios(section: Section) -> Table:
    table = Table("ratio", "to")
    for name in ("median", "rounds' ratios", "target", "met"):
        table.add_column(name, justify="right")
    for ratio in section.ratios:
        table.add_row(
            f"{ratio.over.contender}, {ratio.over.figure}",
            f"{ratio.under.contender}, {ratio.under.figure}",
            f"{ratio.value:.2f}",
            f"{min(ratio.each):.2f} to {max(ratio.each):.2f}",
            str(ratio.target) if ratio.target else "",
            {True: "yes", False: "no", None: ""}[ratio.met],
        )
    return table


def _number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.3g}"
