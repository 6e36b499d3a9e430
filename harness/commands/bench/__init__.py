"""`preflight bench`: what a training step and a batch cost, in seconds, bytes and watts, by batch size and page size.

The step is Trainer's own (autocast, scaler, optimizer, checkpointing as the YAML asks for them), on the heaviest of the
sampled rows repeated, so that what fits here fits for the others. It runs in a child, because the parts are foreign.
"""
