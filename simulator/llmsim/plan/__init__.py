"""Decisions over many simulations: which candidates are worth one, and what their answers say together."""
