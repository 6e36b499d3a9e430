"""What a training step needs on the card, told before there is one: the arithmetic, the advice and how both are shown.

Nothing here imports torch. `probes/learning/memory` counts in a child; this package turns its counts into an answer.
"""
