"""Training: the loop, the program of a step on a mesh, the state, and the kinds of training (`steps`)."""
