"""Settings and checks of a story: one movie per panel, all of the same character (`sampling.story`)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.sampling import Story
from stale_jax.script import Script
from stale_jax.system import System

_KNOWN = {field.name for field in dataclasses.fields(Story)}


def story_of(overrides: Mapping[str, Any]) -> tuple[Story, dict[str, Any]]:
  """Splits overrides into (the settings of the story, the rest); None selects the default.

  Raises:
    UserError: a setting of the story has the wrong type or is out of range.
  """
  given = {name: value for name, value in overrides.items() if name in _KNOWN and value is not None}
  rest = {name: value for name, value in overrides.items() if name not in _KNOWN}
  return construct(Story, given, "story"), rest


def check_story(system: System, prompts: Sequence[str | Script], name: str) -> None:
  """Raises UserError if a prompt is empty, missing or a script, or the network cannot see other panels."""
  if not prompts:
    raise UserError("a story needs one prompt per panel; none is given.")
  if any(not isinstance(prompt, str) for prompt in prompts):
    raise UserError("a story does not support scripts: give one prompt per panel.")
  if not all(prompts):
    raise UserError("a prompt is empty; describe each panel of the story.")
  if system.network.forms != "none" or system.network.merge:
    raise UserError(
      f"{name} has blocks of two forms or merged tokens, which cannot attend to other panels; use another "
      "model."
    )
