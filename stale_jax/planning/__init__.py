"""What a thing costs before, and after, it is done."""

from stale_jax.planning.budget import Offer, choose, within_budget
from stale_jax.planning.prices import price_per_hour

__all__ = ["Offer", "choose", "price_per_hour", "within_budget"]
