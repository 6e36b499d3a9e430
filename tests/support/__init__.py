"""What several tests need: a browser, hostile texts, toy models, made-up reports."""
