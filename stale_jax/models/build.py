"""From a config section to a model."""

import dataclasses
from collections.abc import Sequence

from stale_jax.clip import Sense
from stale_jax.construct import check_keys, construct
from stale_jax.errors import UserError
from stale_jax.fields import check_fields
from stale_jax.models.autoencoder import Autoencoder
from stale_jax.models.text import PATCH
from stale_jax.models.transformer import Transformer


def build_model(section, senses: Sequence[Sense], **given) -> Transformer:
  """The transformer over `senses`; `section` holds its other fields but for the `given` ones.

  Raises:
    UserError: an unknown key, or sizes that do not fit one another.
  """
  off = {"labels": 0, "emoji": "", "token_drop": 0.0, "text_noise": 0.0, "mask": False}
  given = {"senses": tuple(senses), **off, **given}
  keys = [f.name for f in dataclasses.fields(Transformer) if f.name not in given]
  check_keys(section, ("name", *keys), "model")
  model = construct(Transformer, {**section, **given}, "model")
  check_fields(model, "model")
  if model.scan and model.turns:
    raise UserError("model.scan runs through the blocks once: leave model.turns or model.scan out.")
  if model.causal and (model.forms != "none" or model.turns):
    raise UserError(
      "model.causal is for joint attention in blocks that run once: no model.forms, no model.turns."
    )
  if model.merge and (not model.turns or model.depth < 2 or model.forms != "none"):
    raise UserError(
      "model.merge needs model.turns of 1 at least, model.depth of 2 at least and no model.forms."
    )
  if model.width % model.heads or model.width // model.heads % 2:
    raise UserError(
      f"model.width={model.width} must give each of model.heads={model.heads} heads an even width."
    )
  if model.text_length % PATCH:
    raise UserError(f"model.text_length={model.text_length} must be a multiple of {PATCH}.")
  return model


def build_autoencoder(section, senses: Sequence[Sense], frames: int, adversary: bool) -> Autoencoder:
  """The autoencoder of sight; `section` holds its other fields.

  Args:
    section: of the config.
    senses: of the clips, of which sight is coded.
    frames: of a clip.
    adversary: whether its objective asks for one.

  Raises:
    UserError: an unknown key, or sizes that do not fit one another.
  """
  keys = [f.name for f in dataclasses.fields(Autoencoder) if f.name != "adversary"]
  check_keys(section, ("name", *keys), "model")
  model = construct(Autoencoder, {**section, "adversary": adversary}, "model")
  check_fields(model, "model")
  sight = next((sense for sense in senses if sense.name == "sight"), None)
  if sight is None:
    raise UserError("model.name='autoencoder' codes sight, and the senses lack it.")
  if (model.bottleneck == "fsq") != bool(model.levels):
    raise UserError(f"model.levels={model.levels}: 'fsq' needs 2 or more for each channel, 'kl' none.")
  for name, size in (("space", model.space), ("time", model.time)):
    if size & (size - 1):
      raise UserError(f"model.{name}={size} is not a power of two.")
  if model.time > model.space:
    raise UserError(f"model.time={model.time} is more than model.space={model.space}.")
  if (frames - 1) % model.time:
    raise UserError(
      f"source.frames={frames}: one, and then groups of model.time={model.time}, are coded; "
      f"take {1 + (frames - 1) // model.time * model.time} frames."
    )
  if any(size % model.space for size in sight.shape[:2]):
    raise UserError(
      f"sight is {sight.shape[0]}x{sight.shape[1]}: not a multiple of model.space={model.space}."
    )
  return model
