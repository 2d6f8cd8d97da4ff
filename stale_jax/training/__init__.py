"""The loop of a training run, and what it is made of."""
