"""Schedulers: one file, one class, one idea each."""
