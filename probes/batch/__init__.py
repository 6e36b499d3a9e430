"""What the processor and the collator give."""
