"""The highest load a fleet takes: what is turned up, how long each load is offered, and which loads are tried."""
