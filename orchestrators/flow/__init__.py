"""Flows put together from nodes: plain async composition over durable steps.

Everything here works under the engine, where a crash in the middle resumes inside, and in process
by `run_inline`.
"""

from envelope.lru import CacheStats
from orchestrators.flow.breaker import CircuitBreaker
from orchestrators.flow.cache import Cache, by_model
from orchestrators.flow.cached import CachedFunction, cached
from orchestrators.flow.choice import Conditional, Switch
from orchestrators.flow.circuit import CircuitPolicy, CircuitState
from orchestrators.flow.drawing import mermaid, tree
from orchestrators.flow.errors import (
    CircuitOpen,
    CyclicGraph,
    InvalidFlow,
    NoRoute,
    NoSuchCase,
    SagaFailed,
    TimedOut,
    UnknownDependency,
)
from orchestrators.flow.fallback import Fallback
from orchestrators.flow.graph import After, Given, Graph
from orchestrators.flow.node import Function, Node, Parallel, Sequential
from orchestrators.flow.registering import flow_of, node_of
from orchestrators.flow.retry import Retry
from orchestrators.flow.router import MoneyLeft, Router
from orchestrators.flow.routes import Price, Route, Tier
from orchestrators.flow.saga import Saga
from orchestrators.flow.saga_execution import Undo
from orchestrators.flow.step import Step, call
from orchestrators.flow.timeout import Timeout

__all__ = [
    "After",
    "Cache",
    "CacheStats",
    "CachedFunction",
    "CircuitBreaker",
    "CircuitOpen",
    "CircuitPolicy",
    "CircuitState",
    "Conditional",
    "CyclicGraph",
    "Fallback",
    "Function",
    "Given",
    "Graph",
    "InvalidFlow",
    "MoneyLeft",
    "NoRoute",
    "NoSuchCase",
    "Node",
    "Parallel",
    "Price",
    "Retry",
    "Route",
    "Router",
    "Saga",
    "SagaFailed",
    "Sequential",
    "Step",
    "Switch",
    "Tier",
    "TimedOut",
    "Timeout",
    "Undo",
    "UnknownDependency",
    "by_model",
    "cached",
    "call",
    "flow_of",
    "mermaid",
    "node_of",
    "tree",
]
