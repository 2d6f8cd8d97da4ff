"""Captioned cartoon clips without end, drawn at any size, whose every factor is known."""

from stale_jax.data.sources.cartoons.source import Cartoons as Cartoons
