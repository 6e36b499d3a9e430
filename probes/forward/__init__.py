"""What forward does with the batch."""
