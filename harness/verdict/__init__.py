"""From facts to a verdict: the contracts, the report as data, and the gate."""
