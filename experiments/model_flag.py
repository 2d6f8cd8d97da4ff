"""The flag that names the model a program loads."""

from absl import flags

flags.disclaim_key_flags()  # The flag defined here belongs to the program that asks for it.


def define_model() -> flags.FlagHolder:
  """Defines --workdir, the argument of `stale_jax.load`."""
  return flags.DEFINE_string(
    "workdir",
    None,
    "Run folder, weights file, or name of a packaged model (shipped, causal, autoencoder); default: shipped.",
  )
