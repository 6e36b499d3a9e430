"""Finds what would make fine-tuning an OCR vision-language model fail or learn nothing, before a GPU hour is spent."""
