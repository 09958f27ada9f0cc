"""The `table_write` agent: rows in tables of your own, whose columns you declare in code."""

from agents.db_write.tables.agent import TableWriteRequest, table_write
from agents.db_write.tables.declaration import TABLES, Column, Table, declare_table
from agents.db_write.tables.port import TableStore

__all__ = [
    "TABLES",
    "Column",
    "Table",
    "TableStore",
    "TableWriteRequest",
    "declare_table",
    "table_write",
]
