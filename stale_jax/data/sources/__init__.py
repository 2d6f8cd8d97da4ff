"""Where clips come from: one source a file."""
