"""How every program starts and how it fails: one clear line, exit code 2, no stack trace."""

import sys
from collections.abc import Callable

from absl import flags, logging

from stale_jax.errors import UserError


def run(main: Callable[[], int | None], argv: list[str] | None = None) -> None:
  """Parses the flags, calls `main` and exits with what it returns (None is 0)."""
  try:
    rest = flags.FLAGS(sys.argv if argv is None else argv)
    if len(rest) > 1:
      raise UserError(f"unexpected argument {rest[1]!r}; options start with --.")
    logging.set_verbosity(logging.ERROR)
    sys.exit(main())
  except UserError as error:
    message = str(error)
  except flags.Error as error:
    message = str(error)
  except (AttributeError, KeyError, TypeError, ValueError, OSError, ImportError) as error:
    # What ml_collections raises while it parses --config; anything later is our own fault.
    if flags.FLAGS.is_parsed():
      raise
    message = _config_error(error)
  print("error: " + " ".join(message.split()), file=sys.stderr)
  sys.exit(2)


def _config_error(error: Exception) -> str:
  """The same complaint with the nearest valid key, where the config knows it."""
  return str(error)
