"""Attacks on the promise, by the thousand: `python -m tests.campaign`."""
