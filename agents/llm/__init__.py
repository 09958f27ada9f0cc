"""Language models: one port, the OpenAI SDK behind it, and a deterministic offline composer."""

from agents.llm.port import Check, Document, Generated, LanguageModel, Prompt

__all__ = ["Check", "Document", "Generated", "LanguageModel", "Prompt"]
