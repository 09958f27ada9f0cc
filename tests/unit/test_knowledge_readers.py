"""Reading documents: what is taken, how it is cited, what is said about the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.knowledge.errors import NoKnowledge
from agents.knowledge.readers import read_documents
from envelope.errors import InvalidInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "kb"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.md").write_text("# B\n\nText.\n")
    (folder / "deep" / "a.txt").write_text("Plain.\n")
    return folder


def test_documents_are_cited_relative_to_their_root(folder: Path) -> None:
    reading = read_documents(folder, folder / "b.md")
    assert [document.path for document in reading.documents] == ["kb/b.md", "kb/deep/a.txt", "b.md"]
    assert [document.markdown for document in reading.documents] == [True, False, True]
    assert str(folder.parent) not in str(reading)


def test_what_is_no_text_is_skipped_with_a_reason(folder: Path) -> None:
    (folder / "latin.md").write_bytes("grüße".encode("latin-1"))
    (folder / "nul.txt").write_bytes(b"a\x00b")
    (folder / "image.png").write_bytes(b"\x89PNG")
    (folder / "LICENSE").write_text("free")
    (folder / "big.md").write_bytes(b"a" * (10 * 1024 * 1024 + 1))
    os.mkfifo(folder / "pipe.md")
    skipped = {skip.path: skip.reason for skip in read_documents(folder).skipped}
    assert skipped == {
        "kb/latin.md": "not UTF-8 text",
        "kb/nul.txt": "holds NUL characters, so it is no text",
        "kb/image.png": ".png cannot be read yet",
        "kb/LICENSE": "a name without an ending cannot be read yet",
        "kb/big.md": "larger than 10 MB",
        "kb/pipe.md": "not a regular file",
    }


def test_hidden_files_and_ways_out_are_not_followed(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "x.md").write_text("hidden")
    (folder / ".env.md").write_text("secret")
    (folder.parent / "outside.md").write_text("outside")
    (folder / "link.md").symlink_to(folder.parent / "outside.md")
    (folder / "inner.md").symlink_to(folder / "b.md")
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    reading = read_documents(folder)
    paths = {document.path for document in reading.documents}
    assert paths == {"kb/b.md", "kb/deep/a.txt", "kb/inner.md"}
    assert {skip.path for skip in reading.skipped} == {"kb/link.md", "kb/gone.md"}


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf# A\n\nText.")
    assert read_documents(tmp_path / "a.md").documents[0].text.startswith("# A")


@pytest.mark.parametrize("files", [{}, {"a.md": b" \n"}, {"a.pdf": b"%PDF"}, {"a.md": b"\xff"}])
def test_an_empty_folder_says_what_to_do(tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with pytest.raises(NoKnowledge, match=r"No readable text in empty\. Put \.md or") as caught:
        read_documents(folder)
    assert str(tmp_path) not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoKnowledge, match="no file or folder 'nope'"):
        read_documents(tmp_path / "nope")


def test_two_roots_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin" / "kb"
    twin.mkdir(parents=True)
    (twin / "b.md").write_text("other")
    with pytest.raises(InvalidInput, match=r"kb/b\.md"):
        read_documents(folder, twin)
