"""The data sources, one in each file."""
