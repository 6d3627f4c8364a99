"""Hugging Face ``config.json`` fields, one file per family of fields."""
