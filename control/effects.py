"""Effects: what was done to the outside world, and what nobody knows until a person says so."""

from __future__ import annotations

from collections.abc import Sequence

from control.approvals import Opened
from control.loop_thread import LoopThread
from control.people_only import check_person
from control.tenant_runs import run_id_of
from envelope.effect import EffectState
from envelope.errors import InvalidInput, UnknownEffect
from envelope.ports.ledger import EffectFilter, EffectRow
from worker.delivery.recipients import one_spelling

_SETTLED = (EffectState.SENT, EffectState.FAILED)


class AsyncEffects:
    """Effects over one campaign manager; `AsyncMuster().effects`."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    async def list(
        self,
        *,
        state: EffectState | str | None = None,
        channel: str | None = None,
        run: str | None = None,
        recipient: str | None = None,
        tenant: str | None = None,
        limit: int = 50,
    ) -> Sequence[EffectRow]:
        """Return effects, newest first; None means any.

        Raises:
            InvalidInput: There is no such state.
            UnknownRun: There is no such run of that tenant.
        """
        backend = (await self._opened()).backend
        run_id = await run_id_of(backend.journal, run, tenant) if run else None
        which = EffectFilter(
            tenant=tenant,
            state=None if state is None else effect_state(state),
            channel=channel,
            run_id=run_id,
            recipient=one_spelling(recipient) if recipient else None,
            limit=limit,
        )
        return await backend.ledger.effects(which)

    async def show(self, key: str, *, tenant: str = "default") -> EffectRow:
        """Return an effect.

        Raises:
            UnknownEffect: There is none of that key.
        """
        found = await (await self._opened()).backend.ledger.effect(tenant, key)
        if found is None:
            raise UnknownEffect(
                f"Tenant {tenant!r} has no effect {key!r}. `muster effects list` shows the newest."
            )
        return found

    async def settle(
        self,
        key: str,
        state: EffectState | str,
        *,
        by: str,
        reason: str = "",
        tenant: str = "default",
    ) -> EffectRow:
        """Say whether an effect happened of which nobody knew.

        Args:
            key: The effect's key.
            state: `sent`: it happened and is never repeated. `failed`: it did not; repeating its
                run does it.
            by: The person who found out.
            reason: How.
            tenant: Whose effect it is.

        Raises:
            InvalidInput: It can be settled as `sent` or `failed` alone.
            UnknownEffect: There is none of that key.
            EffectConflict: It is not unknown.
            ApprovalRefused: An agent or a flow tries.
        """
        person = check_person(by, "settle an effect")
        chosen = effect_state(state)
        if chosen not in _SETTLED:
            raise InvalidInput(f"An effect is settled as sent or failed, not as {chosen.value}.")
        ledger = (await self._opened()).backend.ledger
        return await ledger.settle_effect(tenant, key, chosen, by=person, reason=reason)


class Effects:
    """Effects for synchronous code; see `AsyncEffects` for what each call means."""

    def __init__(self, effects: AsyncEffects, thread: LoopThread) -> None:
        self._effects = effects
        self._thread = thread

    def list(
        self,
        *,
        state: EffectState | str | None = None,
        channel: str | None = None,
        run: str | None = None,
        recipient: str | None = None,
        tenant: str | None = None,
        limit: int = 50,
    ) -> Sequence[EffectRow]:
        """Return effects, newest first; None means any."""
        found = self._effects.list(
            state=state,
            channel=channel,
            run=run,
            recipient=recipient,
            tenant=tenant,
            limit=limit,
        )
        return self._thread.call(found)

    def show(self, key: str, *, tenant: str = "default") -> EffectRow:
        """Return an effect."""
        return self._thread.call(self._effects.show(key, tenant=tenant))

    def settle(
        self,
        key: str,
        state: EffectState | str,
        *,
        by: str,
        reason: str = "",
        tenant: str = "default",
    ) -> EffectRow:
        """Say whether an effect happened of which nobody knew."""
        settled = self._effects.settle(key, state, by=by, reason=reason, tenant=tenant)
        return self._thread.call(settled)


def effect_state(name: EffectState | str) -> EffectState:
    """Return the state of that name.

    Raises:
        InvalidInput: There is none; the message lists them.
    """
    try:
        return EffectState(name)
    except ValueError:
        known = ", ".join(EffectState)
        raise InvalidInput(f"There is no effect state {name!r}. States: {known}.") from None
