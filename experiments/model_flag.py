"""The flag that names the model a program loads."""

from absl import flags

flags.disclaim_key_flags()  # The flag defined here belongs to the program that asks for it.


def define_model() -> flags.FlagHolder:
  """Defines --workdir, the model that `stale_jax.load` loads."""
  return flags.DEFINE_string(
    "workdir", None, "Run folder, weights file, or the name of a model of the package; default: shipped."
  )
