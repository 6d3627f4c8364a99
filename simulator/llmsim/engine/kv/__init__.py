"""KV caches: who may keep how much, and what the next token needs."""
