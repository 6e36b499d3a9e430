"""The real training path: data, collate, model, adapter, train, predict, evaluate."""
