"""What an iteration costs: operators lowered once, then priced from counts."""
