"""What looks at foreign things. Each probe returns facts and judges nothing."""
