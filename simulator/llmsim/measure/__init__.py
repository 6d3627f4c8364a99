"""What a run left behind, and every statistic derived from it."""
