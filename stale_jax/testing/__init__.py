"""Distributions, videos and movies with known properties, faulty files, small models: for tests and claims.

No other part of the package imports this one.
"""
