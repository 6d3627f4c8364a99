"""The serving engine of one replica: what runs next, and what it holds. No clock, no randomness, no simpy."""
