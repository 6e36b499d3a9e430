"""What `preflight evaluate` measured: on a terminal, as JSON, as a page."""
