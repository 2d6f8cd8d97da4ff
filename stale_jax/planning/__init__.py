"""Planning: memory, time and price of training and sampling before they run, and sampling within a budget."""

from stale_jax.planning.budget import Offer, choose, within_budget
from stale_jax.planning.fit import curve, fit
from stale_jax.planning.plan import plan
from stale_jax.planning.prices import price_per_hour
from stale_jax.planning.report import Plan
from stale_jax.planning.text import lines

__all__ = [
  "Offer",
  "Plan",
  "choose",
  "curve",
  "fit",
  "lines",
  "plan",
  "price_per_hour",
  "within_budget",
]
