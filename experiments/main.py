"""Starts every program: parses its flags, prints its help, and reports a UserError in one line."""

import gc
import inspect
import itertools
import os
import re
import sys
from collections.abc import Callable

from absl import app, flags, logging

from stale_jax.errors import UserError
from stale_jax.gpu_memory import claim_gpu_memory
from stale_jax.progress import Stage
from stale_jax.renamed import arguments_with_new_names

_HELP = re.compile("-h|--?(help|helpshort|helpfull)|-[?]")


def run(main: Callable[[], int | None]) -> None:
  """Parses the flags, calls `main` and exits with the code that it returns; None means 0.

  A UserError is printed as one line on stderr, without a stack trace; the exit code is then 2.
  """
  sys.stdout.reconfigure(errors="backslashreplace")  # As stderr: names of files may not be valid UTF-8.
  logging.set_verbosity(logging.ERROR)
  claim_gpu_memory()
  # The collector's default thresholds are too low for the many objects that tracing creates.
  gc.set_threshold(50_000, 20, 50)
  try:
    if any(map(_HELP.fullmatch, sys.argv[1:])):
      print(_help(main))
      sys.stdout.flush()
      sys.exit(0)
    with Stage(f"starting {_program(main)}", note="importing JAX takes some seconds", repeats=False):
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


def _program(main: Callable) -> str:
  """The name of the program, for example "experiments.train"."""
  spec = main.__globals__["__spec__"]
  return spec.name if spec else sys.argv[0]


def _help(main: Callable) -> str:
  """The program's docstring and its own flags."""
  text = f"{inspect.cleandoc(main.__globals__['__doc__'])}\n\nFlags of {_program(main)}:\n"
  own = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
  return text + "\n".join(_describe(flag) for flag in sorted(own, key=lambda flag: flag.name))


def _describe(flag: flags.Flag) -> str:
  """A flag's name, meaning and default, as lines of help."""
  name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"
  words = flag.help.partition(";\n")[0]  # Without absl's line about repeating a flag.
  if flag.default not in (None, "", []) and not flag.boolean:
    words += f" (default: {flag.default_as_str})"
  return flags.text_wrap(f"{name}: {words}", length=100, indent="      ", firstline_indent="  ")


def _parse() -> None:
  """Parses the command line.

  Raises:
    UserError: an unknown or misspelt flag, a value that does not fit, a missing flag, an empty text.
  """
  app.define_help_flags()
  config = "run" if "run" in flags.FLAGS else "config"  # The flag whose value is a Python file.
  try:
    # `config_flags` reads the overrides from sys.argv.
    sys.argv = arguments_with_new_names(sys.argv)
    _check_not_empty(sys.argv)
    rest = flags.FLAGS(sys.argv)
  except flags.Error as error:
    raise UserError(_missing(str(error)) or str(error)) from error
  except UserError:
    raise
  # A config is Python code and may raise anything, and so may an override: it is an error of the user.
  except Exception as error:
    raise UserError(f"cannot read --{config}: {error}") from error
  if len(rest) > 1:
    raise UserError(f"unexpected argument {rest[1]!r}; options begin with --.")


def _check_not_empty(arguments: list[str]) -> None:
  """Refuses `--out=` and `--out ""`, which an unset shell variable leaves behind, for every text flag.

  A flag whose default is the empty string may be empty, and so may the prompts, which are checked later.
  """
  for argument, following in itertools.zip_longest(arguments[1:], arguments[2:]):
    name, equals, value = argument.partition("=")
    name = name.lstrip("-")
    if not argument.startswith("-") or name not in flags.FLAGS:
      continue
    value = value if equals else following
    flag = flags.FLAGS[name]
    if value is None or value.strip() or flag.boolean or flag.allow_hide_cpp or flag.default == "":
      continue
    if flag.flag_type() in ("string", "config object"):
      raise UserError(f"--{name} is empty: give a value (is a shell variable unset?).")


def _missing(message: str) -> str | None:
  """The error message if absl's `message` says that a required flag has no value; else None."""
  match = re.match(r"flag --(\w+)=None: Flag --\w+ must have a value", message)
  return match and f"--{match[1]} is missing: {flags.FLAGS[match[1]].help}"
