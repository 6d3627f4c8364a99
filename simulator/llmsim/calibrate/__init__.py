"""Measured server runs: what they hold, what the simulation says of them, and coefficients fitted to them."""
