"""Preflight's engine: from one YAML file to facts, findings, a verdict and, when it is clear, to training."""
