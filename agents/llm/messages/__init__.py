"""Conversations kept by the hashes of their messages, so that a step's request stays small."""

from agents.llm.messages.factory import memory_messages, message_store
from agents.llm.messages.port import Conversation, MessageStore

__all__ = ["Conversation", "MessageStore", "memory_messages", "message_store"]
