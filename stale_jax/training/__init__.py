"""Training: the loop, the compiled step on a mesh, the state, and the kinds of training (`steps`)."""
