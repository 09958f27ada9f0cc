import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.concurrency import most_at_once
from benchmarks.figures import (
    Ratio,
    Report,
    Sample,
    Section,
    at_least,
    at_most,
    jain,
    percentile,
)
from benchmarks.limits import fairness
from benchmarks.output import as_json, show, write


def _sample(name: str, *values: float) -> Sample:
    return Sample(name, "steps/s", values)


def test_median_and_spread_of_rounds() -> None:
    sample = _sample("a", 90, 100, 130)
    assert sample.median == 100
    assert sample.spread == pytest.approx(0.2)
    assert _sample("a", 7).spread == 0


def test_a_ratio_pairs_the_rounds() -> None:
    """The medians' ratio would be 100 / 20 = 5; the second round slowed both down."""
    ratio = Ratio(_sample("a", 100, 40, 120), _sample("b", 20, 10, 40), at_least(4))
    assert ratio.each == (5, 4, 3)
    assert ratio.value == 4
    assert ratio.met is True


def test_a_target_is_met_by_its_bound_and_by_what_is_better() -> None:
    assert [at_least(8).met_by(r) for r in (7.9, 8, 9)] == [False, True, True]
    assert [at_most(1.1).met_by(r) for r in (1.2, 1.1, 1)] == [False, True, True]
    assert (str(at_least(0.8)), str(at_most(1.5))) == ("≥ 0.8", "≤ 1.5")
    assert Ratio(_sample("a", 1), _sample("b", 1)).met is None


def test_a_missing_contender_leaves_its_ratio_out() -> None:
    section = Section("t", [_sample("a", 1)])
    section.compare(("a", "steps/s"), ("absent", "steps/s"), at_least(1))
    section.compare(("a", "steps/s"), ("a", "steps/s"))
    assert [ratio.value for ratio in section.ratios] == [1]


def test_percentiles_by_nearest_rank() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.2, 0.5, 0.8, 0.81, 1)] == [1, 3, 4, 5, 5]
    with pytest.raises(ValueError, match="needs values"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="within"):
        percentile(values, 0)


def test_jains_index() -> None:
    assert jain({"a": 5, "b": 5}) == 1
    assert jain({"a": 9, "b": 0, "c": 0}) == pytest.approx(1 / 3)
    assert jain({"a": 3, "b": 1}) == pytest.approx(16 / 20)


def test_fairness_counts_only_while_every_tenant_waits() -> None:
    shared = fairness(["large", "b", "large", "b", "large", "large", "large"])
    assert shared == {"Jain's index": 1, "share of the large tenant": 0.5}
    first_come = fairness(["large"] * 4 + ["b", "b"])
    assert first_come == {"Jain's index": 0.5, "share of the large tenant": 1}


def _report() -> Report:
    fast, slow = _sample("fast one", 1600, 1500), _sample("slow one", 100, 0.25)
    section = Section("the work", [fast, slow])
    section.compare(("fast one", "steps/s"), ("slow one", "steps/s"), at_least(8))
    section.compare(("slow one", "steps/s"), ("fast one", "steps/s"), at_least(8))
    report = Report("steps", "what it is", [section])
    report.note("what it does not do")
    report.note("what it does not do")
    return report


def test_the_table_shows_figures_targets_and_notes() -> None:
    out = io.StringIO()
    show(_report(), Console(file=out, width=160))
    text = out.getvalue()
    for part in ("the work", "1,550", "50.1", "≥ 8", "yes", "no", "what it is"):
        assert part in text
    assert text.count("what it does not do") == 1


def test_the_json_has_every_round_and_the_machine(tmp_path: Path) -> None:
    path = write(_report(), {"cores": 2}, tmp_path / "new" / "folder")
    found = json.loads(path.read_text("utf-8"))
    assert path.name == "steps.json"
    assert found == json.loads(json.dumps(as_json(_report(), {"cores": 2})))
    assert found["machine"] == {"cores": 2}
    (section,) = found["sections"]
    assert section["samples"][0]["values"] == [1600, 1500]
    assert section["ratios"][0]["each"] == [16, 6000]
    assert [ratio["met"] for ratio in section["ratios"]] == [True, False]
    assert section["ratios"][0]["target"] == "≥ 8"


@pytest.mark.parametrize(
    ("begins", "most"), [([], 0), ([5.0], 1), ([0.0, 1.0, 2.0], 1), ([0.5, 0.0, 0.9, 1.2], 3)]
)
def test_those_that_overlap_are_counted(begins: list[float], most: int) -> None:
    assert most_at_once(begins, 1.0) == most
