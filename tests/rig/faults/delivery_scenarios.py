"""Small trials, each aimed at one promise about what reaches the outside world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from envelope.effect import EffectState
from envelope.ports.ledger import EffectFilter
from tests.rig.faults.delivering import HOOKS
from tests.rig.faults.pair import Pair
from tests.rig.faults.sinks import Sinks

DeliveryScenario = Callable[[Pair, Sinks], Awaitable[None]]

_LONGER_THAN_A_RESCUE = 3.0
_ADA = "ada@example.org"
_BUSY = 503


async def mail(pair: Pair, _: Sinks) -> None:
    """An e-mail is sent, and nothing happens to anybody."""
    await _deliver(pair, "email", _ADA)
    await pair.until_quiet()


async def mail_of_a_zombie(pair: Pair, sinks: Sinks) -> None:
    """A worker is thought dead while the mail server has its e-mail, but has not answered yet."""
    sinks.slow_down(_LONGER_THAN_A_RESCUE)
    before = len(sinks.mail.mails)
    await _deliver(pair, "email", _ADA, expect=["succeeded", "failed"])

    async def taken() -> bool:
        return len(sinks.mail.mails) > before

    async def tried_again() -> bool:
        unknown = await pair.journal.effects(EffectFilter(state=EffectState.UNKNOWN))
        return bool(unknown) or len(sinks.mail.mails) > before + 1

    await pair.until(taken, "the mail server has it")
    await pair.freeze(0)
    await pair.until(tried_again, "the other worker has come to it")
    await pair.thaw(0)
    await pair.until_quiet()


async def nobody_allowed_it(pair: Pair, _: Sinks) -> None:
    """Runs whose triggers did not allow it want to reach the outside world."""
    await _deliver(pair, "email", _ADA, allow_delivery=False)
    await _deliver(pair, "webhook", f"{HOOKS}1", allow_delivery=False)
    await pair.until_quiet()


async def second_attempt(pair: Pair, sinks: Sinks) -> None:
    """A webhook's receiver is busy at first."""

    def recover(stage: str) -> None:
        if stage == "answered":
            sinks.hook.status = 200

    sinks.hook.status, sinks.hook.on_stage = _BUSY, recover
    await _deliver(pair, "webhook", f"{HOOKS}1")
    await pair.until_quiet()


async def _deliver(
    pair: Pair, channel: str, to: str, *, allow_delivery: bool = True, **told: object
) -> None:
    plan = {"name": "hello", "channel": channel, "to": to}
    wanted = {"channel": channel, "to": to}
    await pair.accept("rig-deliver", plan, allow_delivery=allow_delivery, delivers=wanted, **told)
