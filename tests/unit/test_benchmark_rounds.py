import asyncio
import os
import sys
from pathlib import Path

import pytest

from benchmarks.catalogue import BENCHMARKS, benchmark
from benchmarks.cli import main
from benchmarks.cpu import cpu_seconds, with_cpu
from benchmarks.program import Program, ProgramFailed
from benchmarks.rounds import Contender, Measured, alternate

LINUX = sys.platform == "linux"


def _contender(name: str, seen: list[str]) -> Contender:
    async def measure() -> Measured:
        seen.append(name)
        return {"turn": float(len(seen))}

    return Contender(name, measure)


def test_rounds_alternate_and_the_first_does_not_count() -> None:
    seen: list[str] = []
    section = asyncio.run(alternate("t", [_contender("a", seen), _contender("b", seen)], 2))
    assert "".join(seen) == "ababab"
    assert [(s.contender, s.values) for s in section.samples] == [("a", (3, 5)), ("b", (4, 6))]


def test_without_warm_up_every_round_counts() -> None:
    section = asyncio.run(alternate("t", [_contender("a", [])], 2, warm_up=False))
    assert section.samples[0].values == (1, 2)


def test_no_round_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        asyncio.run(alternate("t", [], 0))


@pytest.mark.skipif(not LINUX, reason="processor time of others is read from /proc")
def test_processor_time_of_the_group_is_added() -> None:
    async def busy() -> Measured:
        before = cpu_seconds([os.getpgid(0)]) or 0.0
        while (cpu_seconds([os.getpgid(0)]) or 0.0) < before + 0.05:
            sum(range(10_000))
        return {"turn": 1.0}

    contender = with_cpu(Contender("a", busy), [os.getpgid(0)], units=10, unit="step")
    measured = asyncio.run(contender.measure())
    assert measured["turn"] == 1
    assert measured["CPU ms/step"] >= 4.9
    assert cpu_seconds([-1]) == 0


def test_a_program_that_does_not_start_says_why(tmp_path: Path) -> None:
    async def ask() -> None:
        async with Program("benchmarks.no_such_program", {}, tmp_path / "log") as program:
            await program.ask("anything")

    with pytest.raises(ProgramFailed, match="no_such_program"):
        asyncio.run(ask())


def test_every_benchmark_has_a_title_and_a_tiny_size() -> None:
    for name in BENCHMARKS:
        found = benchmark(name)
        assert found.TITLE
        assert found.TINY is not None
    with pytest.raises(KeyError):
        benchmark("unknown")


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*BENCHMARKS, "retrieval"))


def test_unknown_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["steps", "--no-such-option"])
    assert "--no-such-option" in capsys.readouterr().err
