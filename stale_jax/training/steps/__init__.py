"""Kinds of training, one per file.

`train_step` defines the protocol of a kind, and `registry` maps sections of a config to kinds. To add a kind,
add a file and a line in the registry.
"""
