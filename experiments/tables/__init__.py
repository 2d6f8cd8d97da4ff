"""One table of comparisons a file.

Its docstring asks the question. BASE is the config that every row starts from, SUITES what each
cell is measured by, ROWS what each row changes; the others are compared with the first. A key of a
row is a path into the config, and its value takes the place of all that was there.
"""
