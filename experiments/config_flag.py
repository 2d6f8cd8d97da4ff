"""A flag that is a config file, each key of whose schema can be set by a flag of its own.

--config=configs/digits.py --config.training.processes=2 --config.cringe.weight=0.1
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

# From what a file states, and the overrides as text, to the whole tree.
Complete = Callable[[Mapping[str, Any], Mapping[str, str]], ConfigDict]


def define_config(name: str, complete: Complete, help_string: str) -> flags.FlagHolder:
  """Defines --NAME, a Python file with `get_config`, and --NAME.KEY; the config is complete and locked."""
  holder = config_flags.DEFINE_config_file(name, None, help_string, lock_config=False)
  flag = flags.FLAGS[name]
  flag.parser = _Parser(name, flag.parser, complete)
  return holder


def define_experiment(name: str = "config") -> flags.FlagHolder:
  """Defines the flag of the config of an experiment."""
  return define_config(name, _complete_experiment, "The experiment.")


def _complete_experiment(config: Mapping[str, Any], overrides: Mapping[str, str]) -> ConfigDict:
  from stale_jax.config import as_config_dict, resolve_for  # With it comes JAX.

  return as_config_dict(resolve_for(config, overrides))


class _Parser(flags.ArgumentParser):
  """Completes and locks a config when it is loaded, before its overrides are parsed.

  Attributes:
    name: of the flag.
    loads: parser from a path to what the file there says.
    complete: see `Complete`.
  """

  def __init__(self, name: str, loads: flags.ArgumentParser, complete: Complete):
    self.name, self.loads, self.complete = name, loads, complete

  def parse(self, path: str) -> ConfigDict:
    """The complete config of the file at `path`."""
    loaded = self.loads.parse(path)
    stated = loaded if isinstance(loaded, dict) else loaded.to_dict()
    config = self.complete(stated, _overrides(self.name))
    config.lock()
    return config

  def flag_type(self) -> str:
    """As its help says."""
    return self.loads.flag_type()


def _overrides(name: str) -> dict[str, str]:
  """dotted path -> text of the overrides of the flag `name` on this program's command line."""
  argv, found = flags.FLAGS.read_flags_from_files(sys.argv, force_gnu=False), {}
  for argument, following in zip(argv, [*argv[1:], ""], strict=True):
    if match := re.fullmatch(rf"--?(?:no)?{name}\.([\w.]+)(?:=(.*))?", argument, re.DOTALL):
      found[match[1]] = following if match[2] is None else match[2]
  return found
