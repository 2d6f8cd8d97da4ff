"""Reads cartoons from sight alone, at any size and length."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stale_jax.data.sources.cartoons.labels import LABELS
from stale_jax.errors import UserError
from stale_jax.evaluation.cartoons.network import Network
from stale_jax.evaluation.cartoons.questions import (
  FRAMES,
  OF_A_CLIP,
  OF_A_FIGURE,
  RATE,
  SIDE,
  first_is_left,
  is_pair,
)
from stale_jax.files import AnyPath, write_whole

WEIGHTS = Path(__file__).parents[2] / "weights" / "cartoon_reader.safetensors"
IDENTITY = ("skin", "hair", "build")  # Of a figure; never captioned.
_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Reading:
  """What is seen in n clips.

  Attributes:
    labels: factor -> [n] classes, as in `labels.LABELS`; the class after the last of character2 and colour2
      means that there is no second figure.
    identity: probabilities of the classes of skin, hair and build of the first figure, [n, 13].
    events: whether each of TOUCHED and HEARD begins in each frame, [n, 16, EVENTS] (see `questions`).
    balance: x, height and tilt of the first figure in [-1, 1], [n, 16, 3].
    features: activations of the last hidden layer, for kernel distances.
  """

  labels: dict[str, Int[np.ndarray, "n"]]
  identity: Float[np.ndarray, "n classes"]
  events: Bool[np.ndarray, "n frames events"]
  balance: Float[np.ndarray, "n frames 3"]
  features: Float[np.ndarray, "n features"]


class CartoonReader:
  """Reads the first two seconds of clips; `params` are the weights of `Network`."""

  def __init__(self, params):
    self._params = params

  def __call__(self, sight: Float[np.ndarray, "n frames height width 3"], rate: float = RATE) -> Reading:
    """Reads clips of values in [-1, 1], with `rate` frames per second. A shorter clip stops at its end."""
    parts = [self._read(sight[i : i + _BATCH], rate) for i in range(0, len(sight), _BATCH)]
    logits, events, balance, features = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    labels, identity = labels_of(logits)
    return Reading(labels=labels, identity=identity, events=events > 0, balance=balance, features=features)

  def _read(self, sight, rate):
    count = len(sight)
    frames = np.minimum(np.rint(np.arange(FRAMES) * rate / RATE).astype(int), sight.shape[1] - 1)
    # Figures have the height of the shorter side; a wider picture shows more to both sides, a higher one more
    # above.
    side = min(sight.shape[2:4])
    begin = (sight.shape[3] - side) // 2
    sight = np.asarray(sight[:, frames, -side:, begin : begin + side], np.float32)
    sight = np.pad(sight, ((0, _BATCH - count), *[(0, 0)] * 4))  # One program for all numbers of clips.
    return jax.tree.map(lambda x: x[:count], jax.device_get(_apply(self._params, sight)))


def labels_of(
  logits: dict[str, Float[np.ndarray, "n classes"]],
) -> tuple[dict[str, Int[np.ndarray, "n"]], Float[np.ndarray, "n probabilities"]]:
  """Labels from answers to QUESTIONS, and the probabilities of skin, hair and build of the first figure."""
  labels = {factor: logits[factor].argmax(-1) for factor in OF_A_CLIP}
  left_first = first_is_left(labels["action"], labels["direction"])[:, None]
  has_second, looks = is_pair(labels["action"]), []
  for factor in OF_A_FIGURE:
    # Of the right figure without the class "none": whether there are two follows from the action.
    left, right = logits[f"left_{factor}"], logits[f"right_{factor}"][:, :-1]
    first, second = np.where(left_first, left, right), np.where(left_first, right, left)
    labels[factor] = first.argmax(-1)
    if f"{factor}2" in LABELS:
      labels[f"{factor}2"] = np.where(has_second, second.argmax(-1), len(LABELS[factor]))
    if factor in IDENTITY:
      looks.append(np.asarray(jax.nn.softmax(first)))
  return labels, np.concatenate(looks, -1)


@jax.jit
def _apply(params, sight):
  shape = (*sight.shape[:2], SIDE, SIDE, 3)
  if sight.shape != shape:
    sight = jax.image.resize(sight, shape, "linear")
  return Network().apply(params, sight)


def save_reader(path: AnyPath, params) -> None:
  """Writes the parameters in half precision."""
  flat = traverse_util.flatten_dict(jax.device_get(params), sep="/")
  write_whole(path, save({name: np.asarray(value, np.float16) for name, value in flat.items()}))


def load_reader(path: AnyPath) -> CartoonReader:
  """Reads a weights file of `save_reader`.

  Raises:
    UserError: there is no such file, or it has another format.
  """
  try:
    flat = load(Path(path).read_bytes())
  except (OSError, SafetensorError) as error:
    raise UserError(
      f"no weights of a reader of cartoons at {path}: write them with experiments.cartoon_reader."
    ) from error
  params = {name: jnp.asarray(value, jnp.float32) for name, value in flat.items()}
  return CartoonReader(traverse_util.unflatten_dict(params, sep="/"))


@functools.cache
def shipped_reader() -> CartoonReader:
  """The reader whose weights are part of the package."""
  return load_reader(WEIGHTS)
