"""Builds models from config sections."""

import dataclasses
from collections.abc import Sequence

from stale_jax.clip import Sense
from stale_jax.construct import check_keys, construct
from stale_jax.errors import UserError
from stale_jax.fields import check_fields
from stale_jax.models.autoencoder import Autoencoder
from stale_jax.models.text import PATCH
from stale_jax.models.transformer import Transformer


def build_model(section, senses: Sequence[Sense], **fields) -> Transformer:
  """Builds the transformer over `senses`.

  Args:
    section: the config section "model".
    senses: the senses of the clips.
    **fields: fields of `Transformer` that `section` must not contain, because other sections determine them.
      `labels`, `emoji`, `token_drop`, `text_noise`, `mask`, `skip` and `trained_frames` are always such
      fields, and off if not given.

  Raises:
    UserError: an unknown key, or settings that exclude one another.
  """
  off = {"labels": 0, "emoji": "", "token_drop": 0.0, "text_noise": 0.0, "mask": False, "skip": ()}
  off["trained_frames"] = 0
  fields = {"senses": tuple(senses), **off, **fields}
  keys = [f.name for f in dataclasses.fields(Transformer) if f.name not in fields]
  check_keys(section, ("name", *keys), "model")
  model = construct(Transformer, {**section, **fields}, "model")
  check_fields(model, "model")
  if model.scan and model.turns:
    raise UserError(
      f"model.scan=True does not support model.turns={model.turns}: leave model.turns or model.scan out."
    )
  if model.causal and (model.forms != "none" or model.turns):
    raise UserError(
      "model.causal=True needs model.forms='none' and model.turns=0, but they are "
      f"{model.forms!r} and {model.turns}."
    )
  if model.merge and (not model.turns or model.depth < 2 or model.forms != "none"):
    raise UserError(
      "model.merge needs model.turns >= 1, model.depth >= 2 and model.forms='none', but they are "
      f"{model.turns}, {model.depth} and {model.forms!r}."
    )
  if model.relation_width % 4:
    raise UserError(
      f"model.relation_width={model.relation_width} must be a multiple of 4, for its four heads."
    )
  if model.relation_width and model.causal:
    raise UserError("model.relation_width needs model.causal=False: rollouts have no bias of context.")
  if model.width % model.heads or model.width // model.heads % 2:
    raise UserError(
      f"model.width={model.width} must be a multiple of {2 * model.heads} (2 * model.heads), so that each "
      "head has an even width."
    )
  if model.text_length % PATCH:
    raise UserError(f"model.text_length={model.text_length} must be a multiple of {PATCH}.")
  return model


def build_autoencoder(section, senses: Sequence[Sense], frames: int, adversary: bool) -> Autoencoder:
  """Builds the autoencoder of the sense "sight".

  Args:
    section: the config section "model".
    senses: the senses of the clips; only "sight" is encoded.
    frames: number of frames of a clip.
    adversary: whether the objective has an adversarial term, which needs a discriminator.

  Raises:
    UserError: an unknown key, a missing sense "sight", or sizes that do not fit one another.
  """
  keys = [f.name for f in dataclasses.fields(Autoencoder) if f.name != "adversary"]
  check_keys(section, ("name", *keys), "model")
  model = construct(Autoencoder, {**section, "adversary": adversary}, "model")
  check_fields(model, "model")
  sight = next((sense for sense in senses if sense.name == "sight"), None)
  if sight is None:
    names = ", ".join(sense.name for sense in senses) or "no senses"
    raise UserError(f"model.name='autoencoder' needs the sense sight, but the source has {names}.")
  if (model.bottleneck == "fsq") != bool(model.levels):
    raise UserError(f"model.levels={model.levels}: 'fsq' needs one value per channel, 'kl' needs ().")
  for name, size in (("space", model.space), ("time", model.time)):
    if size & (size - 1):
      raise UserError(f"model.{name}={size} must be a power of two.")
  if model.time > model.space:
    raise UserError(f"model.time={model.time} must not be more than model.space={model.space}.")
  if (frames - 1) % model.time:
    raise UserError(
      f"source.frames={frames} must be 1 plus a multiple of model.time={model.time}: "
      f"for example {1 + (frames - 1) // model.time * model.time}."
    )
  if any(size % model.space for size in sight.shape[:2]):
    raise UserError(
      f"sight is {sight.shape[0]}x{sight.shape[1]}, not a multiple of model.space={model.space}: change "
      "model.space or the size of the frames."
    )
  return model
