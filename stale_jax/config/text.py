"""Resolved configs as text: one line of Python per key, with meaning and range; and their differences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stale_jax.config.schema import ROOT, sections_of
from stale_jax.construct import is_required
from stale_jax.sections import Section, allowed, default_of

_SHOWN = 4  # Number of keys that `change_of` names.


def lines(tree: Mapping[str, Any]) -> list[str]:
  """One line of Python per key of a resolved config; keys of optional sections that are off are comments."""
  docs = ROOT.docs("")
  out = [
    _line(f"config.{key}", tree[key], f"{docs[key]} ({allowed(field)})")
    for key, field in ROOT.fields("").items()
  ]
  for name, section in sections_of(tree).items():
    out.append("")
    if tree[name] is None:
      default = section.complete({}, name)
      out.append(_line(f"config.{name}", None, f"Off. {section.summary(section.variant(default))}"))
      out += [f"# {line}" for line in _section_lines(f"config.{name}", section, default)]
    else:
      out.append(f"# {section.summary(section.variant(tree[name]))}")
      out += _section_lines(f"config.{name}", section, tree[name])
  return out


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
  """For each key that differs, the lines "-key = value" of `before` and "+key = value" of `after`."""
  old, new = dict(flat(before, "config.")), dict(flat(after, "config."))
  out = []
  for key in [*old, *(key for key in new if key not in old)]:
    if key in old and (key not in new or old[key] != new[key]):
      out.append(f"-{key} = {old[key]!r}")
    if key in new and (key not in old or old[key] != new[key]):
      out.append(f"+{key} = {new[key]!r}")
  return out


def change_of(before: Mapping[str, Any], after: Mapping[str, Any], keys: Sequence[str]) -> str:
  """The values of `keys` before and after a change, in one line; of many keys, the first four.

  Args:
    before, after: dotted key -> value, as `flat` yields them; None if the key is absent.
    keys: the keys that differ.
  """
  shown = [f"{key}={before.get(key)!r} (now {after.get(key)!r})" for key in keys[:_SHOWN]]
  more = [f"and {len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else []
  return ", ".join(shown + more)


def _section_lines(where: str, section: Section, values: Mapping[str, Any]) -> Iterator[str]:
  variant = section.variant(values)
  if section.is_named:
    yield _line(f"{where}.name", variant, "one of " + " ".join(map(repr, section.variants)))
  docs = section.docs(variant)
  for key, field in section.fields(variant).items():
    if key in section.nested:
      yield from _section_lines(f"{where}.{key}", section.nested[key], values[key])
    elif key in section.each:
      yield _line(f"{where}.{key}", {}, docs.get(key, ""))
      for item, inner in values[key].items():
        yield _line(f"{where}.{key}.{item}", {}, section.each[key].summary(section.each[key].variant(inner)))
        yield from _section_lines(f"{where}.{key}.{item}", section.each[key], inner)
    elif key in values:
      is_default = is_required(field) or default_of(field) == values[key]
      note = "" if is_default else f"; default {default_of(field)!r}"
      yield _line(f"{where}.{key}", values[key], f"{docs.get(key, '')} ({allowed(field)}{note})")
    else:
      yield _line(f"{where}.{key}", None, f"{docs.get(key, '')} ({allowed(field)}; required)")


def _line(key: str, value: Any, comment: str) -> str:
  return f"{f'{key} = {value!r}':<44}  # {comment}"


def flat(tree: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
  """Yields (dotted path, value) of each key; dictionaries are entered, except empty ones, which are values.

  Args:
    tree: a config, or a part of it.
    where: the beginning of all paths.
  """
  for key, value in tree.items():
    if isinstance(value, Mapping) and value:
      yield from flat(value, f"{where}{key}.")
    else:
      yield f"{where}{key}", value
