"""How the demo's delivery looks: the question, the received mail, its effect, its lineage."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from control.cli.delivery_view import print_approval, visible
from control.cli.explain import lineage_tree
from control.cli.run_view import facts_table, failure_text, state_text, time_text
from control.demo.letter import Letter
from control.demo.mail_sink import ReceivedMail
from control.demo.results import print_commands, print_next
from control.demo.settings import DOMAIN
from control.lineage import Ancestry
from envelope.effect import EffectState
from envelope.failure import Failure
from envelope.ports.journal_rows import Run
from envelope.ports.ledger import ApprovalRow, EffectRow


def print_begun(console: Console, letter: Letter, run_id: str, *, continued: bool) -> None:
    """Say what is about to be sent, and where everything of it will end."""
    console.print("\n[bold]Delivery[/]")
    facts = {
        "draft": f"for {letter.company}, by run {letter.run_id}",
        "to": f"{letter.to}, which is nobody ({DOMAIN} is set aside for examples)",
        "over": "a mail server inside this process; nothing leaves this machine",
        "run": f"{run_id}{', begun before' if continued else ''}",
    }
    console.print(facts_table(facts))


def print_question(console: Console, asked: ApprovalRow) -> None:
    """Show exactly what a person is asked to consent to."""
    console.print(
        f"\nThe run is {state_text('waiting')} for a person. No worker holds it meanwhile, and it "
        "survives any restart. It asks for approval"
    )
    print_approval(console, asked)
    console.print()


def print_decided(console: Console, decided: ApprovalRow) -> None:
    """Say who decided."""
    by = escape(decided.decided_by or "")
    console.print(f"Approval {decided.approval_id} is {decided.state.value} by [bold]{by}[/].")


def print_left_open(console: Console, prefix: str, asked: ApprovalRow, onward: str) -> None:
    """Say how a run goes on about which nobody decided here."""
    console.print(
        "[yellow]Nobody decided.[/] Nothing was sent; the run waits for a person until "
        f"{time_text(asked.expires_at)}."
    )
    commands = {
        f"muster approvals approve {asked.approval_id}": "shows it once more, asks, consents",
        onward: "goes on: asks, or sends what was approved",
        f"{onward} --yes": "the same, and consents",
    }
    print_commands(console, prefix, commands)


def print_received(console: Console, mail: ReceivedMail) -> None:
    """Print an e-mail as the mail server took it: its envelope, its headers, its text."""
    head = Text()
    for name, value in (
        ("MAIL FROM", mail.sender),
        ("RCPT TO", ", ".join(mail.recipients)),
        *mail.headers,
    ):
        head.append(f"{name}: ", style="dim").append(f"{visible(value)}\n")
    console.print()
    console.print(
        Panel(
            Group(head, Text(visible(mail.text.rstrip()))),
            title=f"The received mail, {len(mail.content):,} bytes",
            title_align="left",
        )
    )


def print_sent_before(console: Console, effect: EffectRow) -> None:
    """Say that the ledger kept a second mail from being sent."""
    console.print(
        f"\n[yellow]Sent before[/], at {time_text(effect.concluded_at)} by run {effect.run_id}. "
        "Nobody was asked and nothing was sent: the key of the effect names this draft and this "
        "recipient, and one key sends once."
    )


def print_traces(
    console: Console,
    effect: EffectRow,
    ancestry: Ancestry,
    prefix: str,
    commands: Mapping[str, str],
) -> None:
    """Print what the ledger has of an effect, what the mail was made from, and what to look at."""
    console.print("\n[bold]The effect, as the ledger has it[/]")
    console.print(facts_table(_facts(effect)))
    console.print("\n[bold]Where it comes from[/]  [dim]mail, draft, passages (document#offset)[/]")
    console.print(lineage_tree(ancestry))
    print_next(console, prefix, commands)


def print_declined(console: Console, run: Run, *, received: int) -> None:
    """Say that a no was heeded."""
    console.print(
        f"Run {run.run_id} has {state_text(run.state)} with APPROVAL_REJECTED. "
        f"The mail server received {received or 'nothing'}."
    )


def print_not_sent(console: Console, run: Run, failure: Failure | None) -> None:
    """Say why a delivery sent nothing, or nobody knows whether it did."""
    console.print(f"Run {run.run_id} has {state_text(run.state)}, without an e-mail sent.")
    if failure is not None:
        console.print(failure_text(failure))


def _facts(effect: EffectRow) -> dict[str, str | None]:
    answer = effect.receipt.get("answer")
    return {
        "key": effect.key,
        "state": EffectState(effect.state).value,
        "to": ", ".join(effect.recipients),
        "approval": effect.approval_id,
        "sha256": effect.content_sha256,
        "begun": time_text(effect.intended_at),
        "concluded": time_text(effect.concluded_at),
        "tries": str(effect.tries),
        "message id": str(effect.receipt.get("message_id", "")),
        "answer": str(answer) if answer else None,
    }
