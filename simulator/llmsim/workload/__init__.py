"""Turns a scenario's workload into requests: when they arrive, and how long they are."""
