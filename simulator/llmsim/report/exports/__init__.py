"""Results in the files of other tools. A new format is one more file here, and its line in ``plugins.EXPORTS``."""
