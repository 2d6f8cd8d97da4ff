"""Kinds of training, one in each file.

`train_step` says what a kind is, `registry` which section of a config chooses it. A new kind is a new file
and a line in the registry.
"""
