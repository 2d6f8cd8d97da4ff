"""The suites that read moving digits need a model of them."""

from stale_jax.data.source import Source
from stale_jax.data.sources.digits import Digits
from stale_jax.errors import UserError
from stale_jax.system import System


def digits_of(suite: str, source: Source, system: System) -> Digits:
  """`source` as the source of digits that the suite needs.

  Raises:
    UserError: it is another source, or the model of `system` has no sight.
  """
  if not isinstance(source, Digits) or "sight" not in [sense.name for sense in system.data.senses]:
    raise UserError(f"the suite {suite!r} needs models of the source 'digits' with sight.")
  return source
