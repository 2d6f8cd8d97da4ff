"""The kinds of training: one step a file."""
