"""The `db_write` agent: keeps records in a table, once per key."""

from agents.db_write.agent import db_write
from agents.db_write.port import Outcome, RecordStore, StoredRecord
from agents.db_write.request import DbWriteRequest, Write

__all__ = ["DbWriteRequest", "Outcome", "RecordStore", "StoredRecord", "Write", "db_write"]
