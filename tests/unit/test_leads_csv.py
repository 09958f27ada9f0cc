"""Reading leads: a good file whole, a bad one not at all, with the line named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.leads import SAMPLE, CorruptLeads, read_leads
from envelope.errors import InvalidInput

HEADER = "Symbol,Security,GICS Sector,GICS Sub-Industry,Headquarters Location\n"
ACME = 'ACM,Acme,Industrials,Tools,"Saint Paul, Minnesota"\n'
BETA = "BET,Beta,Energy,Drilling,Oslo\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.csv"


def write(file: Path, text: str) -> Path:
    file.write_bytes(text.encode())
    return file


def test_rows_become_requests(file: Path) -> None:
    leads = read_leads(write(file, HEADER + ACME + BETA), campaign="spring", tone="formal")
    assert [lead.company for lead in leads] == ["Acme", "Beta"]
    first = leads[0]
    assert (first.symbol, first.sector, first.sub_industry) == ("ACM", "Industrials", "Tools")
    assert first.location == "Saint Paul, Minnesota"
    assert (first.source, first.campaign, first.tone) == ("leads.csv", "spring", "formal")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + ACME,
        (HEADER + ACME).replace("\n", "\r\n"),
        HEADER.upper() + ACME,
        HEADER + "\n" + ACME + "\n\n",
        HEADER + ACME.rstrip("\n"),
        "Other,Symbol,Security,GICS Sector\nx,ACM,Acme,Industrials\n",
    ],
)
def test_harmless_differences_are_read(file: Path, text: str) -> None:
    leads = read_leads(write(file, text))
    assert [(lead.symbol, lead.company, lead.sector) for lead in leads] == [
        ("ACM", "Acme", "Industrials")
    ]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", None, "empty"),
        (" \n\n", None, "empty"),
        (HEADER, None, "no company below"),
        ("Symbol,Security\nACM,Acme\n", 1, "lacks GICS Sector"),
        ("\n\nName\nAcme\n", 3, "lacks Symbol, Security, GICS Sector"),
        (HEADER.replace("Symbol", "Symbol,Symbol"), 1, "names symbol twice"),
        (HEADER + ACME + "BET,Beta,Energy\n", 3, "has 3 fields, the header has 5"),
        (HEADER + ACME + "BET,Beta,Energy,x,y,z\n", 3, "has 6 fields"),
        (HEADER + ACME + 'BET,"Beta,Energy,x,y\n', 3, "not valid CSV"),
        (HEADER + ACME + 'BET,"Be"ta,Energy,x,y\n', 3, "not valid CSV"),
        (HEADER + ACME + BETA + ACME, 4, "'ACM' stands in line 2 already"),
        (HEADER + ACME + ",Beta,Energy,x,y\n", 3, "Symbol is empty"),
        (HEADER + ACME + "BET, ,Energy,x,y\n", 3, "Security is empty"),
        (HEADER + ACME + '"BET","Be\nta",Energy,x,y\n', 3, "company: .*one line"),
        (HEADER + ACME + f"BET,{'x' * 201},Energy,x,y\n", 3, "company: .*200"),
        (HEADER + ACME + f"BET,{'x' * 200_000},Energy,x,y\n", 3, "not valid CSV"),
        (HEADER + '"A\nB",Acme,x,x,x\n' + BETA, 2, "symbol"),
        (HEADER + ACME + "BET,Be\x00ta,Energy,x,y\n", 3, "NUL"),
    ],
)
def test_a_corrupt_file_names_the_line(
    file: Path, text: str, line: int | None, problem: str
) -> None:
    with pytest.raises(CorruptLeads, match=problem) as caught:
        read_leads(write(file, text))
    assert caught.value.line == line
    assert caught.value.code == "CORRUPT_LEADS"
    where = f"leads.csv, line {line}: " if line else "leads.csv: "
    assert str(caught.value).startswith(where)
    assert str(file.parent) not in str(caught.value)


def test_what_is_not_utf8_names_the_line(file: Path) -> None:
    file.write_bytes((HEADER + ACME).encode() + "BET,Bäta,Energy,x,y\n".encode("latin-1"))
    with pytest.raises(CorruptLeads, match="line 3: is not UTF-8"):
        read_leads(file)


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(CorruptLeads, match="cannot be opened"):
            read_leads(path)


def test_the_corrupt_file_is_bad_input_to_whoever_asks() -> None:
    assert issubclass(CorruptLeads, InvalidInput)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from([HEADER, ACME, BETA, '"', ",", "\n", "\r", "\x00", "é", ",,,,", "\\"]),
            max_size=12,
        ).map(lambda parts: "".join(parts).encode()),
    )
)
def test_any_bytes_are_read_or_refused_by_name(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    try:
        leads = read_leads(file)
    except CorruptLeads:
        return
    assert len({lead.key for lead in leads}) == len(leads) > 0


def test_the_sample_is_good() -> None:
    leads = read_leads(SAMPLE)
    assert len(leads) == 12
    assert all(lead.location and lead.sub_industry and lead.founded for lead in leads)


def test_the_companies_of_an_index() -> None:
    here = Path(__file__).resolve().parents[2]
    path = Path(os.environ.get("MUSTER_TEST_LEADS", here.parent / "shared/data/leads_sp500.csv"))
    if not path.is_file():
        pytest.skip("set MUSTER_TEST_LEADS to a CSV of companies to read it")
    leads = read_leads(path)
    assert len(leads) == 503
    assert {lead.symbol for lead in leads} >= {"MMM", "BRK.B"}
    assert all(lead.company and lead.sector for lead in leads)
