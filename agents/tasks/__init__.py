"""Typed tasks: work for a model, written down once with a fluent builder and run anywhere.

>>> MOOD = (
...     task("mood").type("analysis").system_prompt("You judge the mood of messages.")
...     .user_prompt("Judge {message}.").input(Message).function(Mood).progress(0.1).build()
... )
>>> as_agent(MOOD)  # for flows; `control.tasks` runs it in any other program
"""

from agents.tasks.agent import as_agent
from agents.tasks.brand import BRAND, BrandAnalysis, BrandRequest
from agents.tasks.builder import TaskBuilder, task
from agents.tasks.complexity import COMPLEXITY, ComplexityAnalysis, ComplexityRequest
from agents.tasks.definition import Task, TaskType
from agents.tasks.errors import IncompleteTask, InvalidTask
from agents.tasks.intent import INTENT, IntentAnalysis, IntentRequest
from agents.tasks.outputs import Continuation, GeneratedText, Picture
from agents.tasks.picture import IMAGE, PictureRequest
from agents.tasks.predefined import PREDEFINED
from agents.tasks.routes import ModelRoutes
from agents.tasks.writing import COMPLETION, TEXT, CompletionRequest, TextRequest

__all__ = [
    "BRAND",
    "COMPLETION",
    "COMPLEXITY",
    "IMAGE",
    "INTENT",
    "PREDEFINED",
    "TEXT",
    "BrandAnalysis",
    "BrandRequest",
    "CompletionRequest",
    "ComplexityAnalysis",
    "ComplexityRequest",
    "Continuation",
    "GeneratedText",
    "IncompleteTask",
    "IntentAnalysis",
    "IntentRequest",
    "InvalidTask",
    "ModelRoutes",
    "Picture",
    "PictureRequest",
    "Task",
    "TaskBuilder",
    "TaskType",
    "TextRequest",
    "as_agent",
    "task",
]
