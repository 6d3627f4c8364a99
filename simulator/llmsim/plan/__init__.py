"""Many runs: settings, replications, and what they tell together."""
