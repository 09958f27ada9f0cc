"""What is left to people: neither an agent nor a flow may consent, settle or lift a suppression."""

from __future__ import annotations

from envelope.errors import ApprovalRefused
from envelope.running import RUNNING
from orchestrators.running import RUNNING_FLOW


def check_person(by: str, what: str) -> str:
    """Return the name of the person who decides.

    Args:
        by: The name.
        what: What is decided, for the message.

    Raises:
        ApprovalRefused: The caller is an agent or a flow, or names nobody.
    """
    step, flow = RUNNING.get(), RUNNING_FLOW.get()
    if step is not None:
        raise ApprovalRefused(f"Agent {step.agent!r} cannot {what}: that is left to people.")
    if flow is not None:
        raise ApprovalRefused(f"The flow of run {flow} cannot {what}: that is left to people.")
    if not by.strip():
        raise ApprovalRefused(f"To {what} takes the name of the person who does it.")
    return by.strip()
