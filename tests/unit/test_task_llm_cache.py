"""The model that remembers: keys, tiers, single flight, and what a hit says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from agents.llm.errors import ModelBusy
from agents.llm.port import Document, Generated, Message, Prompt
from agents.llm.tool import Tool
from agents.llm_cache import CachedModel, FromCache
from envelope.errors import InvalidInput, QueueUnavailable
from envelope.usage import Usage
from worker.coordination.shared.in_process import InProcessShared

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class Line(BaseModel):
    """A line."""

    text: str


class Other(BaseModel):
    """Another line."""

    text: str


class Counted:
    """A model that numbers its answers, and gives them when it is let."""

    name = "counted-1"

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.errors: list[BaseException] = []
        self.closed = False

    async def generate(self, prompt: Prompt, output: type[M], **more: Any) -> Generated[M]:
        self.calls.append(more)
        number = len(self.calls)
        await self.go.wait()
        if self.errors:
            raise self.errors.pop(0)
        if "on_delta" in more:
            more["on_delta"](f"piece {number}")
        made = output.model_validate({"text": f"answer {number}"})
        usage = Usage(requests=1, input_tokens=9, output_tokens=3, cost_usd=0.25)
        return Generated(made, more.get("model") or self.name, usage, prompt.sha256(output))

    def close(self) -> None:
        self.closed = True


PROMPT = Prompt(instructions="Write a line.", task={"about": "cats"})


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    return asyncio.run(main())


def test_a_hit_costs_nothing_and_says_so() -> None:
    async def main() -> None:
        inner = Counted()
        model = CachedModel(inner)
        assert model.name == "counted-1"
        first = await model.generate(PROMPT, Line)
        assert not isinstance(first, FromCache)
        again = await model.generate(PROMPT, Line)
        assert isinstance(again, FromCache)
        assert (again.output, again.model) == (first.output, "counted-1")
        assert again.prompt_sha256 == first.prompt_sha256
        assert again.usage == Usage()
        assert again.saved == first.usage
        assert len(inner.calls) == 1
        assert (model.stats.hits, model.stats.misses, model.stats.hit_rate) == (1, 1, 0.5)
        model.clear()
        assert (await model.generate(PROMPT, Line)).output.text == "answer 2"

    run(main)


def test_a_schema_s_name_reaches_the_model_and_the_key() -> None:
    async def main() -> None:
        inner = Counted()
        model = CachedModel(inner)
        await model.generate(PROMPT, Line)
        await model.generate(PROMPT, Line, name="verse")
        assert isinstance(await model.generate(PROMPT, Line, name="verse"), FromCache)
        assert [call.get("name") for call in inner.calls] == [None, "verse"]

    run(main)


def test_all_that_an_answer_depends_on_is_in_its_name() -> None:
    async def main() -> None:
        inner = Counted()
        model = CachedModel(inner)
        prompts = [
            PROMPT,
            PROMPT.model_copy(update={"instructions": "Write a verse."}),
            PROMPT.model_copy(update={"task": {"about": "dogs"}}),
            PROMPT.model_copy(update={"documents": (Document(id="D", text="Cats purr."),)}),
            PROMPT.model_copy(update={"history": (Message(role="user", text="Hi"),)}),
            PROMPT.model_copy(update={"max_output_tokens": 10}),
        ]
        for prompt in [*prompts, *prompts]:
            await model.generate(prompt, Line)
        assert len(inner.calls) == 6
        await model.generate(PROMPT, Other)
        await model.generate(PROMPT, Line, model="large-1")
        assert len(inner.calls) == 8
        again = await model.generate(PROMPT, Line, model="large-1")
        assert again.model == "large-1"
        assert len(inner.calls) == 8

    run(main)


def test_of_many_who_ask_at_once_one_asks_the_model() -> None:
    async def main() -> None:
        inner = Counted()
        inner.go.clear()
        model = CachedModel(inner)
        asking = [asyncio.create_task(model.generate(PROMPT, Line)) for _ in range(50)]
        await asyncio.sleep(0)
        inner.go.set()
        made = await asyncio.gather(*asking)
        assert len(inner.calls) == 1
        assert {one.output.text for one in made} == {"answer 1"}
        assert sum(one.usage.requests for one in made) == 1
        assert (model.stats.misses, model.stats.joined) == (1, 49)

    run(main)


def test_a_failure_is_not_kept_and_the_next_one_asks() -> None:
    async def main() -> None:
        inner = Counted()
        inner.go.clear()
        inner.errors = [ModelBusy("busy")]
        model = CachedModel(inner)
        asking = [asyncio.create_task(model.generate(PROMPT, Line)) for _ in range(3)]
        await asyncio.sleep(0)
        inner.go.set()
        first, *rest = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(first, ModelBusy)
        assert [one.output.text for one in rest if isinstance(one, Generated)] == ["answer 2"] * 2
        assert len(inner.calls) == 2

    run(main)


def test_whoever_is_cancelled_leaves_the_work_to_the_next() -> None:
    async def main() -> None:
        inner = Counted()
        inner.go.clear()
        model = CachedModel(inner, store=InProcessShared)
        first = asyncio.create_task(model.generate(PROMPT, Line))
        second = asyncio.create_task(model.generate(PROMPT, Line))
        while not inner.calls:
            await asyncio.sleep(0)
        first.cancel()
        inner.go.set()
        assert (await second).output.text == "answer 2"
        with pytest.raises(asyncio.CancelledError):
            await first

    run(main)


def test_what_is_kept_has_to_pass_everybodys_check() -> None:
    async def main() -> None:
        inner = Counted()
        model = CachedModel(inner)
        await model.generate(PROMPT, Line)
        picky = await model.generate(
            PROMPT, Line, check=lambda line: "no" if line.text == "answer 1" else None
        )
        assert picky.output.text == "answer 2"
        assert (await model.generate(PROMPT, Line)).output.text == "answer 2"

    run(main)


def test_a_hit_is_streamed_in_one_piece() -> None:
    async def main() -> None:
        model, pieces = CachedModel(Counted()), list[str]()
        await model.generate(PROMPT, Line, on_delta=pieces.append)
        await model.generate(PROMPT, Line, on_delta=pieces.append)
        assert pieces == ["piece 1", '{"text":"answer 1"}']

    run(main)


def test_calls_with_tools_are_never_remembered() -> None:
    async def call(arguments: Any) -> str:
        return "x"

    tool = Tool(
        name="look", description="Looks.", arguments=Line, call=call, note=lambda name, how: None
    )

    async def main() -> None:
        inner = Counted()
        model = CachedModel(inner)
        for _ in range(2):
            assert not isinstance(await model.generate(PROMPT, Line, tools=[tool]), FromCache)
        assert [list(more["tools"]) for more in inner.calls] == [[tool], [tool]]
        assert model.stats.misses == 0

    run(main)


def test_processes_share_what_one_of_them_asked() -> None:
    async def main() -> None:
        store = InProcessShared()
        one, other = Counted(), Counted()
        here, there = CachedModel(one, store=lambda: store), CachedModel(other, store=lambda: store)
        await here.generate(PROMPT, Line)
        found = await there.generate(PROMPT, Line)
        assert isinstance(found, FromCache)
        assert (len(one.calls), len(other.calls)) == (1, 0)
        assert there.stats.shared_hits == 1

    run(main)


def test_a_store_that_is_away_or_holds_nonsense_is_done_without() -> None:
    class Away(InProcessShared):
        async def get(self, key: str) -> str | None:
            raise QueueUnavailable("away")

        async def put(self, key: str, value: str, ttl: float) -> None:
            raise QueueUnavailable("away")

        async def discard(self, key: str, value: str | None = None) -> bool:
            raise QueueUnavailable("away")

    class Nonsense(InProcessShared):
        async def get(self, key: str) -> str | None:
            return "{}"

    async def main() -> None:
        for store in (Away, Nonsense):
            inner = Counted()
            made = await CachedModel(inner, store=store).generate(PROMPT, Line)
            assert made.output.text == "answer 1"

    run(main)


def test_any_event_loop_may_use_it() -> None:
    inner, stores = Counted(), list[InProcessShared]()

    def store() -> InProcessShared:
        stores.append(InProcessShared())
        return stores[-1]

    model = CachedModel(inner, store=store)

    def ask(_: int) -> str:
        return asyncio.run(_texts(model))

    with ThreadPoolExecutor(4) as threads:
        texts = set(threads.map(ask, range(12)))
    assert all(text.startswith("answer") for text in texts)
    assert len(inner.calls) <= 4, "one for each loop that asks at the same time"
    assert stores
    model.close()
    assert inner.closed


async def _texts(model: CachedModel) -> str:
    return (await model.generate(PROMPT, Line)).output.text


def test_limits_are_checked() -> None:
    with pytest.raises(InvalidInput, match="at least 1 value"):
        CachedModel(Counted(), max_size=0)
    with pytest.raises(InvalidInput, match="ttl"):
        CachedModel(Counted(), ttl=0)


def test_time_and_room_end_what_is_kept() -> None:
    async def main() -> None:
        inner = Counted()
        model = CachedModel(inner, max_size=1)
        other = PROMPT.model_copy(update={"instructions": "Write a verse."})
        for prompt in (PROMPT, other, PROMPT):
            await model.generate(prompt, Line)
        assert len(inner.calls) == 3
        assert model.stats.evictions == 2

    run(main)
