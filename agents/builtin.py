"""Imports the shipped agents, so that they register."""

from agents.copywriter import copywriter
from agents.db_write import db_write
from agents.rag import rag

__all__ = ["copywriter", "db_write", "rag"]
