"""Known densities, scenes and movies, faulty files and small models: what tests and claims measure against.

Nothing else in the package imports it.
"""
