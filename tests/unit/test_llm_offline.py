"""The offline model: deterministic, free, named as what it is."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from agents.llm.errors import InvalidOutput
from agents.llm.offline_model import OfflineModel
from agents.llm.port import Document, LanguageModel, Prompt
from agents.llm.sentences import fragments, sentences
from envelope.running import RUNNING, Running, utc_now
from envelope.usage import Usage

PROMPT = Prompt(
    instructions="Summarise.",
    documents=(Document(id="F1", text="# T\n\nRuns are **durable**. Nothing is lost."),),
)


class Part(BaseModel):
    name: str = Field(max_length=20)


class Analysis(BaseModel):
    """Of everything a little."""

    summary: str
    kind: Literal["good", "bad"]
    weight: float = Field(ge=2)
    count: int
    sure: bool
    parts: list[Part] = Field(min_length=2)
    more: list[str]
    note: str | None
    best: Part


class Impossible(BaseModel):
    code: str = Field(pattern=r"^[0-9]{4}$")


class Composed(BaseModel):
    text: str

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> Composed:
        return cls(text=prompt.documents[0].id)


def test_it_is_a_language_model() -> None:
    model: LanguageModel = OfflineModel()
    assert model.name.startswith("offline")


def test_any_model_is_filled_from_the_documents() -> None:
    made = asyncio.run(OfflineModel().generate(PROMPT, Analysis))
    assert made.output.summary == "Runs are durable. Nothing is lost."
    assert (made.output.kind, made.output.weight, made.output.sure) == ("good", 2, False)
    assert [part.name for part in made.output.parts] == ["Runs are durable."] * 2
    assert (made.output.more, made.output.note) == ([], None)
    assert made.model == "offline-composer-1"
    assert made.prompt_sha256 == PROMPT.sha256(Analysis)


def test_an_output_that_composes_itself_does() -> None:
    assert asyncio.run(OfflineModel().generate(PROMPT, Composed)).output.text == "F1"


def test_what_it_cannot_make_names_the_setting() -> None:
    with pytest.raises(InvalidOutput, match="MUSTER_OPENAI_API_KEY"):
        asyncio.run(OfflineModel().generate(PROMPT, Impossible))
    with pytest.raises(InvalidOutput, match="too short"):
        asyncio.run(OfflineModel().generate(PROMPT, Composed, check=lambda _: "too short"))


def test_it_costs_nothing_and_counts_itself() -> None:
    running = Running("r", "s", "a", 1, None, utc_now(), Usage())
    token = RUNNING.set(running)
    try:
        asyncio.run(OfflineModel().generate(PROMPT, Composed))
    finally:
        RUNNING.reset(token)
    assert running.usage == Usage(requests=1)


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("A line\nthat wraps. Next one.", ["A line that wraps.", "Next one."]),
        ("- first item\n- second\n  goes on\n1. third", ["first item", "second goes on", "third"]),
        ("**Bold** and _slanted_ and `code`.", ["Bold and slanted and code."]),
        ("See [the guide](https://x.y/z) and ![pic](a.png) now.", ["See the guide and now."]),
        ("# Heading\n\nText.\n\n| a | b |\n|---|---|\n| c | d |\n", ["Text."]),
        ("Before.\n\n```python\nx = 1. Not Prose.\n```\n\nAfter.", ["Before.", "After."]),
        ("```\nnever closed. Still Code.", []),
        ("<!-- hidden. Words. -->Shown.", ["Shown."]),
        ("Use e.g. Redis. It runs.", ["Use e.g. Redis.", "It runs."]),
        ("> quoted text.\n> more.", ["quoted text.", "more."]),
        ("snake_case_name stays 2.5 whole.", ["snake_case_name stays 2.5 whole."]),
        ("", []),
    ],
)
def test_sentences_are_free_of_markdown(markdown: str, expected: list[str]) -> None:
    assert sentences(markdown) == expected


def test_fragments_are_the_lines_of_texts_without_sentences() -> None:
    table = "| need | part |\n|---|---|\n| mail | **aiosmtplib** |\n\n* item one\n"
    assert fragments(table) == ["need: part", "mail: aiosmtplib", "item one"]
