"""One table of comparisons per file, for `experiments.ablate`.

The docstring of a table asks its question. BASE is the config that every row starts from. SUITES are the
suites that measure each cell. ROWS maps the name of a row to its changes; the other rows are compared with
the first. A key of a row is a dotted path into the config; its value replaces the whole value at that path.
"""
