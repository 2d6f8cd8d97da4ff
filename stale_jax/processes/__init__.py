"""How a clip goes stale, and how one step is undone."""

from stale_jax.processes.flow import GaussianFlow, UniformFlow
from stale_jax.processes.process import Corruption, Process
from stale_jax.processes.reflected import Reflected

__all__ = ["Corruption", "GaussianFlow", "Process", "Reflected", "UniformFlow"]
