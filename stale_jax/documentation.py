"""Reads the meaning of config keys from the docstrings of the dataclasses that define them."""

import functools
import inspect
import re


@functools.cache
def attribute_docs(cls: type) -> dict[str, str]:
  """attribute -> its description in the sections "Attributes:" of a class and of its base classes."""
  docs: dict[str, str] = {}
  for base in reversed(cls.__mro__):
    if base.__doc__ and base is not object:
      docs.update(_attributes(inspect.cleandoc(base.__doc__)))
  return docs


def first_line(cls: type) -> str:
  """The first line of the docstring."""
  return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]


def _attributes(text: str) -> dict[str, str]:
  """The descriptions in one docstring, in Google style; "a, b: text" describes both."""
  lines = iter(text.partition("Attributes:\n")[2].splitlines())
  docs, names = {}, []
  for line in lines:
    if line and not line.startswith(" "):
      break  # The next section begins.
    if entry := re.match(r"  (\w+(?:, \w+)*): (.*)", line):
      names = entry[1].split(", ")
      docs |= dict.fromkeys(names, entry[2])
    elif line.strip():
      docs |= {name: f"{docs[name]} {line.strip()}" for name in names}
  return docs
