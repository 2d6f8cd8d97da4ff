"""Generation at another height and width, or with other numbers of frames, than a model was trained on."""

import dataclasses
from typing import Any

from stale_jax.checks import check_generates
from stale_jax.clip import Sense
from stale_jax.data import build_senses
from stale_jax.data.source import Source
from stale_jax.errors import UserError
from stale_jax.pipeline import Model
from stale_jax.sampling import Sampling
from stale_jax.sampling.grids import tokens_of


def sized(
  model: Model,
  height: int | None = None,
  width: int | None = None,
  *,
  scale_attention: bool = True,
  scale_shift: bool = True,
) -> Model:
  """The same model for clips of another height and width; the weights are shared.

  Positions beyond those of training are extrapolated by the rotary embedding.

  Args:
    model: a model of pixels.
    height, width: in pixels, multiples of the patch of sight; None for that of training.
    scale_attention: scale attention to the number of tokens (`models.entropy`), also if only the number of
      frames differs from that of training.
    scale_shift: `shift_kind="sd3"`: the shift of the time grid, if it is constant, grows with the root of the
      number of tokens (SD3, arXiv 2403.03206, eq. 23).

  Raises:
    UserError: the model generates latents or has no sight, a size does not fit its patch, or its attention
      cannot be scaled.
  """
  check_generates(model.system, model.name)
  data, network, diffusion = model.system.data, model.system.network, model.system.diffusion
  senses = {**data.source.senses}
  if height is not None or width is not None:
    senses["sight"] = _resized(model, height, width)
  source = _Sized(trained=data.source, changed=senses)
  if scale_attention:
    if network.merge:
      raise UserError(
        f"{model.name} merges tokens, with which attention is not scaled: scale_attention=False."
      )
    network = network.clone(trained_frames=data.source.frames)
  sampling = diffusion.sampling
  if scale_shift:
    sampling = _with_shift(sampling, tokens_of(data.senses, data.source.frames))
  system = dataclasses.replace(
    model.system,
    data=dataclasses.replace(
      data, source=source, senses=build_senses([sense.name for sense in data.senses], source)
    ),
    network=network,
    diffusion=dataclasses.replace(diffusion, sampling=sampling),
  )
  asked = {"height": height, "width": width, "scale_attention": scale_attention}
  chosen = {**model.chosen, **{name: x for name, x in asked.items() if x is not None}}
  return dataclasses.replace(model, system=system, chosen=chosen, scores={})


def _resized(model: Model, height: int | None, width: int | None) -> Sense:
  """The sense sight with another height and width."""
  if model.source is not model.system.data.source:
    raise UserError(f"{model.name} generates latents, whose height and width cannot be changed.")
  sight = model.source.senses.get("sight")
  if sight is None:
    raise UserError(f"{model.name} has no sight, and therefore no height and width.")
  shape = (height or sight.shape[0], width or sight.shape[1], *sight.shape[2:])
  for name, size, patch in zip(("height", "width"), shape, sight.patch[1:], strict=False):
    if size < patch or size % patch:
      raise UserError(f"{name}={size} must be a multiple of {patch}, the size of a token of sight.")
  return sight.on(shape)


def _with_shift(sampling: Sampling, tokens: int) -> Sampling:
  """The settings with SD3's shift, which is the present one at `tokens` tokens; unless it is not constant."""
  if sampling.shift_kind != "constant":
    return sampling
  return dataclasses.replace(sampling, shift_kind="sd3", shift_tokens=tokens)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Sized(Source):
  """The source of a model, with the senses of the clips that it generates instead of its training clips.

  Attributes:
    trained: the source of the training clips.
    changed: the senses of the generated clips.
  """

  trained: Source
  changed: dict[str, Sense]

  @property
  def frames(self) -> int:
    return self.trained.frames

  @property
  def senses(self) -> dict[str, Sense]:
    return self.changed

  def __len__(self) -> int:
    return 0

  def __getitem__(self, index: int) -> dict[str, Any]:
    raise IndexError(f"there are no clips of this size to train on, and therefore none at {index}.")
