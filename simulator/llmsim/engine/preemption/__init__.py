"""Preemption modes: what becomes of the KV of a request that loses its place."""
