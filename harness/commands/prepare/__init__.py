"""`preflight prepare-data`: scans and texts become rows to train, validate and test on, with each left-out row's reason."""
