"""Model, processor, collator and rows put together in a child, and how a call of them is watched."""
