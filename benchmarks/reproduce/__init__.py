"""Published results of other systems, each simulated in its authors' own setting."""
