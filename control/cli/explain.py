"""`muster runs explain`: from a record down to the passages it was made from."""

from __future__ import annotations

import click
from rich.markup import escape
from rich.tree import Tree

from control.cli.options import json_option
from control.cli.session import with_journal
from control.cli.terminal import console, print_json
from control.lineage import Ancestry, read_lineage, summary
from control.run_lookup import find_run
from control.run_report import iso
from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Run
from worker.redaction import Redactor
from worker.settings import Settings

_SUMMARY_WIDTH = 110
_DEEPEST = 200
_BY_LOOKS = Redactor()


@click.command()
@click.argument("run")
@click.argument("record", required=False)
@json_option
def explain(run: str, record: str | None, as_json: bool) -> None:
    """Show what a record of a run was made from, down to the source passages.

    RECORD is a record's id or the beginning of one; without it every record of the run's envelope
    is explained. Drafts that an earlier run wrote are followed into that run.
    """

    async def work(journal: Journal) -> tuple[Run, list[Ancestry]]:
        row = await find_run(journal, run)
        lineage = await read_lineage(journal, row)
        names = [lineage.find(record)] if record else _final_records(row)
        return row, [lineage.ancestry(name) for name in names]

    row, trees = with_journal(work)
    redactor = Redactor(Settings.load().secrets())
    if as_json:
        records = redactor.value([tree.to_json() for tree in trees], deepest=_DEEPEST)
        print_json({"run_id": row.run_id, "records": records})
        return
    out = console()
    for tree in trees:
        out.print(lineage_tree(tree, redactor))


def lineage_tree(ancestry: Ancestry, redactor: Redactor = _BY_LOOKS) -> Tree:
    """Return the tree of a record and what it was made from; a run is named where it changes."""
    tree = Tree(_label(ancestry, _run_of(ancestry), redactor), guide_style="dim")
    _grow(tree, ancestry, redactor)
    return tree


def _grow(tree: Tree, ancestry: Ancestry, redactor: Redactor) -> None:
    for parent in ancestry.parents:
        _grow(tree.add(_label(parent, _run_of(ancestry), redactor)), parent, redactor)


def _run_of(ancestry: Ancestry) -> str | None:
    return ancestry.known.run_id if ancestry.known else None


def _label(ancestry: Ancestry, above: str | None, redactor: Redactor) -> str:
    known = ancestry.known
    if known is None:
        return f"[bold]{ancestry.record_id}[/]  [yellow]not among the records of this run[/]"
    made = known.record.provenance
    facts = {
        "step": known.step,
        "agent": made.agent,
        "model": made.model,
        "source": made.source,
        "row": made.row_id,
        "sha256": made.sha256[:12],
        "at": iso(made.retrieved_at.timestamp()),
    }
    told = "  ".join(
        f"[dim]{name}[/] {escape(redactor.text(value))}" for name, value in facts.items() if value
    )
    repeated = "  [dim](explained above)[/]" if ancestry.repeated else ""
    run = f"  [dim]of run[/] {known.run_id}" if known.run_id not in {None, above} else ""
    text = escape(summary(redactor.value(known.record.data), _SUMMARY_WIDTH))
    return f"[bold]{ancestry.record_id}[/]{run}{repeated}\n{told}\n[italic]{text}[/]"


def _final_records(run: Run) -> list[str]:
    if run.envelope is None:
        raise InvalidInput(
            f"Run {run.run_id} is {run.state.value} and has no envelope. "
            "Name a record of one of its steps: `muster runs show RUN --json` lists them."
        )
    return [record.id for record in Envelope.from_json(run.envelope, max_bytes=None).records]
