"""What is read from disk: YAML with positions, catalogue entries, Hugging Face configs, traces."""
