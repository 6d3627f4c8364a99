"""What a person reads of a run: the table, the page, the timeline and the files."""
