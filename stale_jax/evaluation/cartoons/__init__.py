"""Measures of cartoons, read from sight by a network that is fitted on real clips."""

from stale_jax.evaluation.cartoons.accuracy import FACTORS as FACTORS
from stale_jax.evaluation.cartoons.accuracy import accuracy as accuracy
from stale_jax.evaluation.cartoons.captioned import evaluate_cartoons as evaluate_cartoons
from stale_jax.evaluation.cartoons.composition import evaluate_composition as evaluate_composition
from stale_jax.evaluation.cartoons.identity import evaluate_identity as evaluate_identity
from stale_jax.evaluation.cartoons.identity import evaluate_stories as evaluate_stories
from stale_jax.evaluation.cartoons.reader import Reading as Reading
from stale_jax.evaluation.cartoons.reader import shipped_reader as shipped_reader
