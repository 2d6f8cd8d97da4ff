"""A flag whose value is a config file, with a flag of its own for each key of the file's schema.

--config=configs/digits.py --config.training.processes=2 --config.cringe.weight=0.1
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from stale_jax.errors import UserError
from stale_jax.fields import closest

# (values that the config file states, overrides: dotted path -> text) -> the config with all its keys.
Complete = Callable[[Mapping[str, Any], Mapping[str, str]], ConfigDict]

# The folder that holds the package `configs`: the checkout, or site-packages.
_ROOT = Path(__file__).parents[1]

flags.disclaim_key_flags()  # The flags defined here belong to the program that asks for them.


def define_config(name: str, complete: Complete, help_string: str) -> flags.FlagHolder:
  """Defines the flag --NAME, the path of a Python file with `get_config`, and a flag --NAME.KEY for each key.

  The value of --NAME is a locked ConfigDict, to which `complete` has added the keys that the file lacks.
  """
  holder = config_flags.DEFINE_config_file(name, None, help_string, lock_config=False)
  flag = flags.FLAGS[name]
  flag.parser = _Parser(name, flag.parser, complete)
  return holder


def define_experiment(
  name: str = "config", help_string: str = "Config file. experiments.config prints its keys."
) -> flags.FlagHolder:
  """Defines the flag of an experiment's config."""
  return define_config(name, _complete_experiment, f"{help_string} --{name}.KEY=VALUE sets a key.")


def _complete_experiment(config: Mapping[str, Any], overrides: Mapping[str, str]) -> ConfigDict:
  from stale_jax.config import as_config_dict, resolve_for  # This imports JAX.

  return as_config_dict(resolve_for(config, overrides))


class _Parser(flags.ArgumentParser):
  """Completes and locks a config when it is loaded, before its overrides are parsed.

  Attributes:
    name: name of the flag.
    loader: parser that loads the config file at a path.
    complete: adds the keys that the file lacks, see `Complete`.
  """

  def __init__(self, name: str, loader: flags.ArgumentParser, complete: Complete):
    self.name, self.loader, self.complete = name, loader, complete

  def parse(self, path: str) -> ConfigDict:
    """The complete config of the file at `path`, which may end in ":ARGUMENT"."""
    file, colon, argument = path.partition(":")
    try:
      loaded = self.loader.parse(f"{find_config(file)}{colon}{argument}")
    except TypeError as error:  # Its message ends with that of the config, after a stack trace.
      said = str(error).strip().splitlines()[-1]
      if "positional argument" in said:
        need = f"has no variants: leave out :{argument}" if colon else "needs a variant: add :NAME"
        raise UserError(f"{file} {need}.") from error
      raise UserError(f"{file}: {said}") from error
    stated = loaded if isinstance(loaded, dict) else loaded.to_dict()
    config = self.complete(stated, _overrides(self.name))
    config.lock()
    return config

  def flag_type(self) -> str:
    """The loader's name for the type of the flag's value, which absl shows in error messages."""
    return self.loader.flag_type()


def find_config(name: str) -> str:
  """The path of a config file: relative to the current folder, or else one of the installed `configs`.

  Raises:
    UserError: there is no such file; names the nearest one that exists.
  """
  path = Path(name)
  if path.is_file():
    return name
  if path.parts[:1] == ("configs",) and (_ROOT / path).is_file():
    return str(_ROOT / path)
  existing = {file.stem: f"configs/{file.name}" for file in (_ROOT / "configs").glob("[!_]*.py")}
  if path.parent.is_dir():
    existing |= {file.stem: str(file) for file in path.parent.glob("[!_]*.py")}
  near = closest(path.stem, existing)
  hint = f"did you mean {existing[near]}?" if near else f"known configs: {', '.join(sorted(existing))}."
  raise UserError(f"{name} does not exist; {hint}")


def _overrides(name: str) -> dict[str, str]:
  """The overrides --NAME.PATH=VALUE of the flag `name` on the command line: dotted path -> value, as text."""
  argv, found = flags.FLAGS.read_flags_from_files(sys.argv, force_gnu=False), {}
  for argument, following in zip(argv, [*argv[1:], ""], strict=True):
    if match := re.fullmatch(rf"--?(?:no)?{name}\.([\w.]+)(?:=(.*))?", argument, re.DOTALL):
      found[match[1]] = following if match[2] is None else match[2]
  return found
