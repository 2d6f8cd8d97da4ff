"""Times training, sampling, rollouts and loading of a config on the devices of this machine."""

from stale_jax.benchmark.measurement import Measurement, machine
from stale_jax.benchmark.suites import SUITES

__all__ = ["SUITES", "Measurement", "machine"]
