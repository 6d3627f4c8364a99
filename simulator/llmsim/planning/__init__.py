"""Many runs of one question: points, their runs on many processes, and what they say together."""
