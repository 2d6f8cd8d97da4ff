"""What a suite requires of the source that a model was trained on."""

from stale_jax.data.source import Source
from stale_jax.errors import UserError


def digits_of(suite: str, source: Source, system) -> Source:
  """Returns `source` if it is the moving digits that `suite` can read.

  Raises:
    UserError: it is another source, or the model of `system` has no sight.
  """
  if source.kind != "digits" or "sight" not in [sense.name for sense in system.data.senses]:
    raise UserError(f"the suite {suite!r} needs a model with sight, trained on the source 'digits'.")
  return source
