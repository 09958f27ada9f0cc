"""Malformed messages: recognised, recorded, counted and removed; the worker goes on."""
