"""One check: what is looked at, by which child, and who may run what."""
