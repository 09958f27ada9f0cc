"""Cluster-wide permits of agents: over Redis, and within one process."""
