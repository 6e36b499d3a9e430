"""Preflight's own tests."""
