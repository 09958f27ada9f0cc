"""Language models: one port, the OpenAI SDK behind it, and a deterministic offline composer."""

from agents.llm.image_port import DrawnImage, ImageModel, ImagePrompt
from agents.llm.port import Check, Document, Generated, LanguageModel, Message, OnDelta, Prompt
from agents.llm.tool import Tool, ToolLimits

__all__ = [
    "Check",
    "Document",
    "DrawnImage",
    "Generated",
    "ImageModel",
    "ImagePrompt",
    "LanguageModel",
    "Message",
    "OnDelta",
    "Prompt",
    "Tool",
    "ToolLimits",
]
