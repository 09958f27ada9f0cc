"""Writes an ingestion into the tables of `sqlite_layout`."""

from __future__ import annotations

import sqlite3

from agents.knowledge.analysis import telling_words
from agents.knowledge.chunking import Chunk
from agents.knowledge.plan import Arrival, IngestPlan


def present(connection: sqlite3.Connection, collection: str) -> dict[str, str]:
    """Return the fingerprints of the collection's documents, by path."""
    rows = connection.execute(
        "SELECT path, fingerprint FROM documents WHERE collection = ?", [collection]
    )
    return dict(rows.fetchall())


def passages_of(connection: sqlite3.Connection, collection: str) -> int:
    """Count the passages of the collection."""
    row = connection.execute(
        "SELECT count(*) FROM passages p JOIN documents d ON d.id = p.document_id"
        " WHERE d.collection = ?",
        [collection],
    ).fetchone()
    return int(row[0])


def write(connection: sqlite3.Connection, collection: str, plan: IngestPlan) -> None:
    """Do what the plan says; texts that no document has any more go with their vectors."""
    connection.executemany(
        "DELETE FROM documents WHERE collection = ? AND path = ?",
        [(collection, path) for path in plan.drop],
    )
    for arrival, pieces in plan.write:
        _add(connection, collection, arrival, pieces)
    if plan.drop:
        connection.execute("DELETE FROM texts WHERE id NOT IN (SELECT text_id FROM passages)")


def _add(
    connection: sqlite3.Connection, collection: str, arrival: Arrival, pieces: tuple[Chunk, ...]
) -> None:
    document = arrival.document
    document_id = connection.execute(
        "INSERT INTO documents(collection, path, sha256, fingerprint, metadata)"
        " VALUES (?, ?, ?, ?, ?) RETURNING id",
        [collection, document.path, document.sha256, arrival.fingerprint, arrival.metadata],
    ).fetchone()[0]
    connection.executemany(
        "INSERT INTO passages(document_id, start, text_id, page, row) VALUES (?, ?, ?, ?, ?)",
        [
            (document_id, piece.offset, _text_id(connection, piece), piece.page, piece.row)
            for piece in pieces
        ],
    )


def _text_id(connection: sqlite3.Connection, piece: Chunk) -> int:
    """Return the number of the piece's text, which is indexed when it is new."""
    known = connection.execute(
        "SELECT id FROM texts WHERE sha256 = ? AND heading = ?", [piece.sha256, piece.heading]
    ).fetchone()
    if known:
        return int(known[0])
    made = connection.execute(
        "INSERT INTO texts(sha256, heading, text) VALUES (?, ?, ?) RETURNING id",
        [piece.sha256, piece.heading, piece.text],
    ).fetchone()[0]
    connection.execute(
        "INSERT INTO texts_fts(rowid, heading, text) VALUES (?, ?, ?)",
        [made, " ".join(telling_words(piece.heading)), " ".join(telling_words(piece.text))],
    )
    return int(made)
