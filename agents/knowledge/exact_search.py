"""Finds the nearest of many vectors by looking at each. Imported when vectors are searched only."""

from __future__ import annotations

import sqlite3

import numpy as np

from agents.knowledge.embedding import Vector

_AT_ONCE = 4_096


def nearest(vectors: sqlite3.Cursor, vector: Vector, depth: int) -> list[tuple[int, float]]:
    """Return the ids and cosines of the `depth` vectors nearest to `vector`, best first.

    Args:
        vectors: Yields ids and unit vectors as 32-bit floats, all as long as `vector`.
        vector: A unit vector.
        depth: How many to return at most.
    """
    asked = np.asarray(vector, dtype=np.float32)
    best: list[tuple[int, float]] = []
    while some := vectors.fetchmany(_AT_ONCE):
        ids, blobs = zip(*some, strict=True)
        matrix = np.frombuffer(b"".join(blobs), dtype=np.float32).reshape(len(ids), -1)
        cosines = matrix @ asked
        nearest_here = np.argsort(-cosines, kind="stable")[:depth].tolist()
        best += [(ids[place], float(cosines[place])) for place in nearest_here]
        best = sorted(best, key=_order)[:depth]
    return best


def _order(found: tuple[int, float]) -> tuple[float, int]:
    return -found[1], found[0]
