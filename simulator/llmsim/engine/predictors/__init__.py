"""Length predictors: what a server may know of an output before it is there."""
