"""How every program starts and how it fails: one clear line, exit code 2, no stack trace."""

import gc
import os
import sys
from collections.abc import Callable

from absl import app, flags, logging

from stale_jax.errors import UserError
from stale_jax.renamed import arguments_with_new_names


def run(main: Callable[[], int | None]) -> None:
  """Parses the flags, calls `main` and exits with what it returns (None is 0)."""
  logging.set_verbosity(logging.ERROR)
  # Tracing makes objects faster than the collector's defaults are meant for.
  gc.set_threshold(50_000, 20, 50)
  try:
    _parse()
    code = main()
    sys.stdout.flush()
    sys.exit(code)
  except KeyboardInterrupt:
    print("interrupted.", file=sys.stderr)
    sys.exit(130)
  except BrokenPipeError:  # The reader of stdout has closed it, as in `... | head`.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
  except UserError as error:
    print("error: " + " ".join(str(error).split()), file=sys.stderr)
    sys.exit(2)


def _parse() -> None:
  app.define_help_flags()
  which = "run" if "run" in flags.FLAGS else "config"  # The flag that is a file of Python.
  try:
    # Overrides of a config are read from there, too.
    sys.argv = arguments_with_new_names(sys.argv)
    rest = flags.FLAGS(sys.argv)
  except flags.Error as error:
    raise UserError(str(error)) from error
  except UserError:
    raise
  # A config is Python, and what it or a wrong override raises while being read is for its author.
  except Exception as error:
    raise UserError(f"cannot read --{which}: {error}") from error
  if len(rest) > 1:
    raise UserError(f"unexpected argument {rest[1]!r}; options begin with --.")
