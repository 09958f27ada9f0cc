"""The strict, frozen base of every contract model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Strict


class Contract(BaseModel):
    """Frozen, strict and closed: what leaves a process was validated and cannot be changed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


AsTuple = Strict(strict=False)
"""Annotates a tuple field so that a list, as callers write it, is accepted too."""
