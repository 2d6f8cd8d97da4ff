"""One ablation table a file."""
