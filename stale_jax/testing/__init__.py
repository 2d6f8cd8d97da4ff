"""Known densities, scenes and movies, faulty files and small models, for tests and claims.

Nothing else in the package imports it.
"""
