"""`muster flows …`: what can be run, and what it is made of."""

from __future__ import annotations

import inspect
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from control.cli.logs import quiet_logs
from control.cli.options import json_option
from control.cli.terminal import console, print_json, side_console
from orchestrators import FLOWS
from orchestrators.definition import FlowDefinition
from orchestrators.flow import Node, mermaid, node_of, tree
from worker.loading import load_modules
from worker.settings import Settings


@click.group()
def flows() -> None:
    """List and show the flows that this installation has."""


@flows.command("list")
@json_option
def list_flows(as_json: bool) -> None:
    """List every flow and version, the shipped ones and those of MUSTER_INCLUDE."""
    _load()
    found = list(FLOWS)
    if as_json:
        print_json({"flows": [_facts(flow) for flow in found]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("flow", "version", "payload", "singleton", "about"):
        table.add_column(name, overflow="fold")
    for flow in found:
        about = _about(flow).partition("\n")[0]
        table.add_row(
            flow.name,
            str(flow.version),
            flow.model.__name__,
            escape(flow.singleton or ""),
            escape(about),
        )
    console().print(table)


@flows.command()
@click.argument("name")
@click.option("--version", type=int, help="A version; without it the newest.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart alone.")
@json_option
def show(name: str, version: int | None, as_mermaid: bool, as_json: bool) -> None:
    """Show a flow: its payload's fields, what it says of itself, and its drawing."""
    _load()
    flow = FLOWS.get(name, version)
    if as_json:
        print_json(_facts(flow))
    elif as_mermaid:
        click.echo(_mermaid(flow), nl=False)
    else:
        _print(flow)


def _load() -> None:
    settings = Settings.load()
    quiet_logs(settings)
    load_modules(settings.include)


def _print(flow: FlowDefinition) -> None:
    out = console()
    out.print(f"[bold]{flow.name}[/] version {flow.version}  [dim]{escape(flow.where)}[/]")
    if _about(flow):
        out.print(escape(_about(flow)))
    if flow.singleton:
        out.print(f"\nOne run per {escape(flow.singleton)} at a time; others {flow.on_conflict}.")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("field", "type", "default"):
        table.add_column(heading, overflow="fold")
    for field in _fields(flow):
        default = "needed" if field["required"] else repr(field["default"])
        table.add_row(field["name"], escape(field["type"]), escape(default))
    out.print(f"\n[bold]{flow.model.__name__}[/]")
    out.print(table)
    node = _drawing(flow)
    if node is None:
        side_console().print(
            "\n[dim]A plain function: its steps are in its code, and in `muster runs show`. "
            "drawing= of @orchestrator gives it a drawing.[/]"
        )
    else:
        out.print(f"\n{escape(tree(node))}")


def _drawing(flow: FlowDefinition) -> Node | None:
    """What it is made of; of a plain function what it was registered with."""
    return node_of(flow) or flow.drawing


def _mermaid(flow: FlowDefinition) -> str:
    """A plain function is one box: its order is known to its code alone."""
    node = _drawing(flow)
    return f'flowchart TD\n    n1["{flow.name}"]\n' if node is None else mermaid(node)


def _facts(flow: FlowDefinition) -> dict[str, Any]:
    node = _drawing(flow)
    return {
        "flow": flow.name,
        "version": flow.version,
        "where": flow.where,
        "about": _about(flow),
        "model": flow.model.__name__,
        "fields": _fields(flow),
        "singleton": flow.singleton,
        "on_conflict": flow.on_conflict if flow.singleton else None,
        "tree": None if node is None else tree(node),
    }


def _about(flow: FlowDefinition) -> str:
    return inspect.cleandoc(flow.function.__doc__ or "")


def _fields(flow: FlowDefinition) -> list[dict[str, Any]]:
    """The payload's fields as its JSON schema tells them."""
    schema = flow.model.model_json_schema()
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "type": _type(field),
            "required": name in required,
            "default": field.get("default"),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    kind = str(field.get("type", "any"))
    return f"{kind} of {_type(field['items'])}" if field.get("items") else kind
