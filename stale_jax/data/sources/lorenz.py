"""Trajectories of the Lorenz system: an example of data that is not video, with exactly known dynamics.

  dx/dt = 10 (y - x)     dy/dt = x (28 - z) - y     dz/dt = x y - 8/3 z

(Lorenz, Deterministic nonperiodic flow, 1963) is a chaotic flow around two wings. Clips have one sense,
`state`, the three coordinates over time. The caption states the wings on which a clip begins and ends.

Data of other fields are added in the same way: a source defines its senses (here one with three channels),
returns the example at an index, with values in [-1, 1] and a caption, and is registered in `data/build.py`.
If the dynamics are known, the source is a `DynamicalSystem`, and the evaluation suite `dynamics` measures how
well generated trajectories obey them.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float

from stale_jax.clip import Sense
from stale_jax.data.source import DynamicalSystem
from stale_jax.data.sources.check import SPLITS, check_patch
from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number

WINGS = ("left", "right")  # x < 0 and x >= 0.
# A box that contains the attractor and is mapped to [-1, 1].
_CENTRE = np.array([0.0, 0.0, 25.0])
_HALF_WIDTH = np.array([20.0, 28.0, 25.0])
_STEP = 0.005  # Time units of one Runge-Kutta step.
_SETTLE = 6000  # Steps before the first frame, after which a trajectory is on the attractor.
_TRAJECTORIES, _LENGTH = 256, 1024  # Number of trajectories, and their frames (51 time units by default).


def field(state: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
  """The time derivative of (x, y, z)."""
  x, y, z = np.moveaxis(state, -1, 0)
  return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)


def integrate(state: Float[np.ndarray, "*batch 3"], steps: int) -> Float[np.ndarray, "*batch 3"]:
  """Takes `steps` steps of fixed size with the classical fourth-order Runge-Kutta method, in float64."""
  for _ in range(steps):
    k1 = field(state)
    k2 = field(state + _STEP / 2 * k1)
    k3 = field(state + _STEP / 2 * k2)
    k4 = field(state + _STEP * k3)
    state = state + _STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
  return state


@functools.cache
def trajectories(seed: int, split: str, stride: int) -> Float[np.ndarray, "trajectories length 3"]:
  """The long trajectories of a split, from which clips are cut: (x, y, z), not scaled to [-1, 1].

  All states lie on the attractor. Consecutive frames are `stride` Runge-Kutta steps apart.
  """
  rng = np.random.Generator(np.random.Philox(key=[seed, SPLITS.index(split)]))
  state = integrate(_CENTRE + _HALF_WIDTH * rng.uniform(-1, 1, (_TRAJECTORIES, 3)), _SETTLE)
  out = np.empty((_TRAJECTORIES, _LENGTH, 3))
  for frame in range(_LENGTH):
    out[:, frame] = state
    state = integrate(state, stride)
  return out


def caption(labels: dict[str, int]) -> str:
  """The caption for the classes (indices) of the labels begin and end."""
  return f"from the {WINGS[labels['begin']]} wing to the {WINGS[labels['end']]}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lorenz(DynamicalSystem):
  """A source of labelled clips. A clip depends only on the settings and the index.

  A clip is a window of one of 256 long trajectories. The trajectories of the two splits have different
  initial states; because the system is chaotic, they share only the attractor.

  Attributes:
    split: "train" or "test".
    seed: seed of all random draws.
    size: number of clips. Each is drawn from its index, so any size is possible.
    frames: number of frames of a clip, at most 1024 and a multiple of `patch`.
    patch: number of frames that one token covers.
    stride: integration steps, of .005 time units each, per frame. One second of a clip is one time unit.

  Raises:
    UserError: a field is out of its range, or `patch` does not divide `frames`.
  """

  split: str = choice("train", SPLITS)
  seed: int = number(0, least=0)
  size: int = number(1 << 24, least=1)
  frames: int = number(64, least=1, most=1 << 20)
  patch: int = number(4, least=1)
  stride: int = number(10, least=1, most=10_000)

  def __post_init__(self):
    check_fields(self, "source")
    check_patch(self.frames, self.patch)
    if self.frames > _LENGTH:
      raise UserError(f"source.frames={self.frames} must be at most {_LENGTH}, the trajectories' length.")

  @property
  def senses(self) -> dict[str, Sense]:
    """The one sense, `state`, by name."""
    rate = 1 / (_STEP * self.stride)
    return {
      "state": Sense(name="state", shape=(3,), rate=rate, patch=(self.patch,), channels=("x", "y", "z"))
    }

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int) -> dict:
    """The example at `index`: clip (sense -> [frames, *shape]), caption, labels, index."""
    rng = np.random.Generator(np.random.Philox(key=[self.seed, int(index)]))
    long = trajectories(self.seed, self.split, self.stride)
    start = rng.integers(_LENGTH - self.frames + 1)
    window = long[rng.integers(_TRAJECTORIES), start : start + self.frames]
    state = np.clip((window - _CENTRE) / _HALF_WIDTH, -1, 1).astype(np.float32)
    labels = {name: int(value[0]) for name, value in self.read({"state": state[None]}).items()}
    return {"clip": {"state": state}, "caption": caption(labels), "labels": labels, "index": int(index)}

  def advance(self, state: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Advances the state, in [-1, 1], by one frame."""
    state = np.asarray(state, np.float64) * _HALF_WIDTH + _CENTRE
    return (integrate(state, self.stride) - _CENTRE) / _HALF_WIDTH

  def read(self, clip: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Computes the labels that the caption states, `begin` and `end`, from trajectories.

    Args:
      clip: "state" -> trajectories [n, frames, 3], in [-1, 1].

    Returns:
      Label -> class of each clip, [n]: an index in WINGS.
    """
    x = np.asarray(clip["state"])[..., 0]
    return {"begin": (x[:, 0] >= 0).astype(int), "end": (x[:, -1] >= 0).astype(int)}
