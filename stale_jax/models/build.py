"""From a config section to a model."""

import dataclasses
from collections.abc import Sequence

from stale_jax.clip import MICRO, Sense
from stale_jax.construct import at_least, check_keys, construct, nearest
from stale_jax.errors import UserError
from stale_jax.models.attention import BACKENDS
from stale_jax.models.autoencoder import BOTTLENECKS, Autoencoder
from stale_jax.models.block import REMAT
from stale_jax.models.forms import MODES
from stale_jax.models.text import PATCH
from stale_jax.models.transformer import Transformer

DTYPES = ("float32", "bfloat16", "float16")
FORMS = ("none", *MODES)


def build_model(section, senses: Sequence[Sense], **given) -> Transformer:
  """The transformer over `senses`; `section` holds its other fields but for the `given` ones.

  Raises:
    UserError: an unknown key, or sizes that do not fit one another.
  """
  off = {"labels": 0, "emoji": "", "token_drop": 0.0, "text_noise": 0.0, "mask": False}
  given = {"senses": tuple(senses), **off, **given}
  check_keys(section, [f.name for f in dataclasses.fields(Transformer) if f.name not in given], "model")
  model = construct(Transformer, {**section, **given}, "model")
  sizes = ("width", "side_width", "text_width", "condition_width", "depth", "heads", "text_length")
  at_least(1, "model", **{name: getattr(model, name) for name in sizes})
  if model.dtype not in DTYPES:
    raise UserError(f"unknown model.dtype {model.dtype!r}: {nearest(model.dtype, DTYPES)}")
  if model.forms not in FORMS:
    raise UserError(f"unknown model.forms {model.forms!r}: {nearest(model.forms, FORMS)}")
  if model.attention not in BACKENDS:
    raise UserError(f"unknown model.attention {model.attention!r}: {nearest(model.attention, BACKENDS)}")
  for name in model.micro:
    if name not in MICRO:
      raise UserError(f"unknown model.micro {name!r}: {nearest(name, MICRO)}")
  if model.remat not in REMAT:
    raise UserError(f"unknown model.remat {model.remat!r}: {nearest(model.remat, REMAT)}")
  if model.scan and model.turns:
    raise UserError("model.scan runs through the blocks once: leave model.turns or model.scan out.")
  at_least(0, "model", turns=model.turns)
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
  check_keys(section, [f.name for f in dataclasses.fields(Autoencoder) if f.name != "adversary"], "model")
  model = construct(Autoencoder, {**section, "adversary": adversary}, "model")
  at_least(1, "model", width=model.width, depth=model.depth, channels=model.channels, time=model.time)
  at_least(2, "model", space=model.space)
  sight = next((sense for sense in senses if sense.name == "sight"), None)
  if sight is None:
    raise UserError("model.name='autoencoder' codes sight, and the senses lack it.")
  if model.bottleneck not in BOTTLENECKS:
    raise UserError(
      f"unknown model.bottleneck {model.bottleneck!r}: {nearest(model.bottleneck, BOTTLENECKS)}"
    )
  if (model.bottleneck == "fsq") != bool(model.levels) or any(level < 2 for level in model.levels):
    raise UserError(f"model.levels={model.levels}: 'fsq' needs 2 or more for each channel, 'kl' none.")
  for name in ("space", "time"):
    if (size := getattr(model, name)) & (size - 1):
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
