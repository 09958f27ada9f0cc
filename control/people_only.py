"""What is left to people: neither an agent nor a flow may consent, settle or lift a suppression."""

from __future__ import annotations

from envelope.errors import ApprovalRefused
from envelope.running import RUNNING
from orchestrators.running import RUNNING_FLOW
from worker.delivery.deciding import people_decide_here


def check_person(by: str, what: str) -> str:
    """Return the name of the person who decides.

    Args:
        by: The name.
        what: What is decided, for the message.

    Raises:
        ApprovalRefused: The caller is an agent or a flow, the process is a worker's, where agents
            may start threads of their own, or nobody is named.
    """
    step, flow = RUNNING.get(), RUNNING_FLOW.get()
    if step is not None:
        raise ApprovalRefused(f"Agent {step.agent!r} cannot {what}: that is left to people.")
    if flow is not None:
        raise ApprovalRefused(f"The flow of run {flow} cannot {what}: that is left to people.")
    if not people_decide_here():
        raise ApprovalRefused(
            f"A worker's process cannot {what}: that is left to people. Use the terminal, the API "
            "or a client in a process of its own."
        )
    if not by.strip():
        raise ApprovalRefused(f"To {what} takes the name of the person who does it.")
    return by.strip()
