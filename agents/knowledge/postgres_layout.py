"""The tables of knowledge in Postgres.

They stand in a schema of their own, so that they never meet the journal's in a shared database:
    muster_knowledge.documents: id, collection, path, sha256, fingerprint, metadata.
    muster_knowledge.texts: id, sha256, heading, text, length. A distinct passage, stored once;
        its length is the number of its telling words.
    muster_knowledge.passages: document_id, start, text_id, page, row. Where a text stands.
    muster_knowledge.postings: lexeme, text_id, weight, length. How often a word's stem stands in a
        text, its heading counted three times; the text's length again, so that ranking reads only
        an index.
    muster_knowledge.totals: texts, length. Of all texts, in one row.
    muster_knowledge.vectors: text_id, model, embedding. A text's vector; made when an embedding
        model is set and the extension pgvector is there.
"""

from __future__ import annotations

from typing import Final

PRESENT: Final = "SELECT to_regclass('muster_knowledge.totals') IS NOT NULL"
SCHEMA: Final = (
    # IF NOT EXISTS asks for the right to create schemas even where there is nothing to do.
    """DO $$ BEGIN
        IF to_regnamespace('muster_knowledge') IS NULL THEN CREATE SCHEMA muster_knowledge; END IF;
        END $$""",
    # An older layout's content is a copy of documents, which the next ingestion brings back.
    """DROP TABLE IF EXISTS
        muster_knowledge.passages, muster_knowledge.texts, muster_knowledge.documents""",
    """CREATE TABLE muster_knowledge.documents(
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        collection text NOT NULL,
        path text NOT NULL,
        sha256 text NOT NULL,
        fingerprint text NOT NULL,
        metadata jsonb NOT NULL,
        UNIQUE(collection, path))""",
    """CREATE TABLE muster_knowledge.texts(
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        sha256 text NOT NULL,
        heading text NOT NULL,
        text text NOT NULL,
        length integer NOT NULL,
        UNIQUE(sha256, heading))""",
    """CREATE TABLE muster_knowledge.passages(
        document_id bigint NOT NULL REFERENCES muster_knowledge.documents ON DELETE CASCADE,
        start integer NOT NULL,
        text_id bigint NOT NULL REFERENCES muster_knowledge.texts,
        page integer,
        row integer,
        PRIMARY KEY(document_id, start))""",
    "CREATE INDEX passages_by_text ON muster_knowledge.passages(text_id)",
    """CREATE TABLE muster_knowledge.postings(
        lexeme text NOT NULL,
        text_id bigint NOT NULL REFERENCES muster_knowledge.texts ON DELETE CASCADE,
        weight integer NOT NULL,
        length integer NOT NULL)""",
    """CREATE UNIQUE INDEX postings_by_lexeme
        ON muster_knowledge.postings(lexeme, text_id) INCLUDE (weight, length)""",
    "CREATE INDEX postings_by_text ON muster_knowledge.postings(text_id)",
    """CREATE TABLE muster_knowledge.totals(
        texts bigint NOT NULL,
        length bigint NOT NULL)""",
    "INSERT INTO muster_knowledge.totals VALUES (0, 0)",
)
VECTORS_PRESENT: Final = "SELECT to_regclass('muster_knowledge.vectors') IS NOT NULL"
VECTORS: Final = """
    CREATE TABLE muster_knowledge.vectors(
        text_id bigint PRIMARY KEY REFERENCES muster_knowledge.texts ON DELETE CASCADE,
        model text NOT NULL,
        embedding vector NOT NULL)"""
EXTENSION_SCHEMA: Final = """
    SELECT quote_ident(n.nspname) FROM pg_extension e
    JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"""
