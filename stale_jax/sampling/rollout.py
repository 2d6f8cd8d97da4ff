"""Movies longer than any clip a model has seen: a chunk at a time, in constant memory.

*Windows* are whole clips, each of which begins with the last frames of the one before: one frame is
last-frame chaining, more are overlapping windows. A *causal* rollout makes a few frames at a time after the
keys and values of those before them (`models.kv_cache`), as in CausVid (arXiv 2412.07772) and
Self-Forcing (arXiv 2506.08009); it is for models that are causal and had a time for each frame in training.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from stale_jax.clip import Clip, Context, Sense
from stale_jax.construct import at_least, nearest
from stale_jax.errors import UserError
from stale_jax.models.kv_cache import KVCache, empty_cache, push
from stale_jax.processes import Process
from stale_jax.sampling.guidance import both_halves, classifier_free
from stale_jax.sampling.sample import renoise
from stale_jax.sampling.solvers import last_step, prior

HOW = ("artv", "causal", "windows")
ON_CHANGE = ("keep", "flush", "recache", "cut")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
  """How a movie goes on past the clips of training, and what keeps it alive; each remedy is off by default.

  Of `window`, `sinks`, `sink_decay`, `rope_jitter`, `revive` and `on_change` only causal rollouts know.

  Attributes:
    how: "causal", "windows" or "artv" (`sampling.artv`).
    given: last frames that the next window begins with.
    chunk: frames that a causal rollout makes together.
    window: frames that a causal rollout sees at most, those it makes among them; 0: as many as a clip has.
    sinks: how many of these are the first of the movie, which it never forgets.
    sink_decay: how much a sink keeps of itself when a frame is forgotten, whose keys and values take up the
      rest (EMA sinks); 1: all.
    rope_jitter: spread of the heads' rotary base over time, theta (1 + spread U(-1, 1)); 0: none.
    noise: the time to which frames are brought before more are made after them: those given to a
      window or to a frame, and those kept as keys and values.
    revive: by how much `noise` rises at most, up to 1, when the motion falls (see `revival`).
    on_change: what becomes of the keys and values when the prompt changes: "keep"; "flush", of which the
      last chunk's alone are left; "recache", all made anew under the new prompt; "cut", all forgotten.
  """

  how: str = "causal"
  given: int = 1
  chunk: int = 1
  window: int = 0
  sinks: int = 0
  sink_decay: float = 1.0
  rope_jitter: float = 0.0
  noise: float = 0.0
  revive: float = 0.0
  on_change: str = "keep"

  def __post_init__(self):
    for name, valid in (("how", HOW), ("on_change", ON_CHANGE)):
      if (value := getattr(self, name)) not in valid:
        raise UserError(f"unknown rollout {name}={value!r}: {nearest(value, valid)}")
    at_least(1, "rollout", given=self.given, chunk=self.chunk)
    at_least(0, "rollout", window=self.window, sinks=self.sinks)
    for name in ("sink_decay", "rope_jitter", "noise", "revive"):
      if not 0 <= (value := getattr(self, name)) <= 1:
        raise UserError(f"rollout {name}={value} must lie from 0 to 1.")


def windows(
  draw: Callable[[int, int, Clip | None], Clip], frames: int, given: int, first: Clip | None = None
) -> Iterator[Clip]:
  """The new frames of each window in turn, until there are `frames`.

  Args:
    draw: (number of the window, number of its first new frame, the frames that it begins with) -> all its
      frames, more than `given`.
    frames: of the movie.
    given: the last frames of each window that the next one begins with.
    first: those that the first one begins with; they are not of the movie.
  """
  made, number, last = 0, 0, first
  while made < frames:
    clip = draw(number, made, last)
    old = 0 if last is None else _length(last)
    fresh = {name: x[:, old:][:, : frames - made] for name, x in clip.items()}
    last = {name: x[:, -given:] for name, x in clip.items()}
    made, number = made + _length(fresh), number + 1
    yield fresh


@dataclasses.dataclass(frozen=True)
class Causal:
  """The programs of a causal rollout, compiled once a shape.

  Attributes:
    model: a causal network; its blocks run one by one.
    process: that it was trained by.
    senses: of its clips.
    solver: of `SOLVERS`.
    guided: whether by `classifier_free`; the cache then has both halves, the captioned first.
    room: past frames that are kept.
    sinks, sink_decay: see `Rollout`.
  """

  model: object
  process: Process
  senses: tuple[Sense, ...]
  solver: str
  guided: bool
  room: int
  sinks: int = 0
  sink_decay: float = 1.0

  @functools.partial(jax.jit, static_argnums=0)
  def keep(
    self,
    params,
    cache: KVCache | None,
    clip: Clip,
    context: Context,
    noise: Float[Array, "batch"],
    keys: PRNGKeyArray,
  ) -> KVCache:
    """The cache with `clip` behind, brought to the times `noise`; None is one of no frames yet."""
    clip, t = renoise(self.process, clip, noise, keys)
    if self.guided:
      clip, t, context = both_halves(clip, t, context)
    _, sown = self.model.apply(params, clip, t, context, cache, mutable=["kv"])
    new = tuple({block: kinds[kind][0] for block, kinds in sown["kv"].items()} for kind in ("keys", "values"))
    patch = {sense.name: sense.patch[0] for sense in self.senses}
    cache = empty_cache(new, patch, self.room) if cache is None else cache
    return push(cache, new, patch, self.sinks, self.sink_decay)

  def make(
    self, params, cache, times, context, keys, steps, scale=1.0, interval=(0.0, 1.0)
  ) -> tuple[Clip, Clip]:
    """The next frames before the last of `steps` and after it; arguments as of `advance`."""

    def denoiser(clip, t, context):
      return self.model.apply(params, clip, t, context, cache)

    chosen = classifier_free(denoiser, scale, interval) if self.guided else denoiser
    x = prior(self.process, self.senses, times.shape[-1], keys)
    return last_step(self.process, chosen, x, times, context, keys, self.solver, steps=steps)

  @functools.partial(jax.jit, static_argnums=0)
  def advance(
    self,
    params,
    cache: KVCache,
    times: Float[Array, "steps+1 batch frames"],
    context: Context,
    noise: Float[Array, "batch"],
    keys: PRNGKeyArray,
    scale: Float[Array, ""],
    interval: Float[Array, "2"],
    steps: Int[Array, ""],
  ) -> tuple[Clip, KVCache]:
    """The next frames, after `steps` of `times`, and the cache with them."""
    _, clip = self.make(params, cache, times, context, keys, steps, scale, interval)
    return clip, self.keep(params, cache, clip, context, noise, fold(keys, 1))

  def start(self, params, times, context: Context, keys: PRNGKeyArray) -> KVCache:
    """The cache of a movie without frames."""
    x = jax.eval_shape(lambda keys: prior(self.process, self.senses, times.shape[-1], keys), keys)
    noise = jax.ShapeDtypeStruct((len(keys),), jnp.float32)
    cache = jax.eval_shape(self.keep, params, None, x, context, noise, keys)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), cache)


def causal_programs(
  network,
  process: Process,
  senses: tuple[Sense, ...],
  settings: Rollout,
  frames: int,
  solver: str,
  guided: bool,
) -> Causal:
  """The programs of a rollout, the same in generation and in a student's training.

  Args:
    network: causal.
    process: that it was trained by.
    senses: of its clips.
    settings: of the rollout.
    frames: of a clip of training.
    solver, guided: of each chunk.

  Raises:
    UserError: they cannot be rolled out so.
  """
  window = settings.window or frames
  for sense in senses:
    each = sense.patch[0]
    if settings.chunk % each or settings.sinks % each or window % each:
      raise UserError(f"rollout chunk, sinks and window must be multiples of {each}, a token's.")
  if settings.sinks + settings.chunk >= window:
    raise UserError(
      f"rollout sinks={settings.sinks} and chunk={settings.chunk} leave nothing of {window} frames."
    )
  return Causal(
    model=network.clone(scan=False, rope_jitter=settings.rope_jitter),
    process=process,
    senses=senses,
    solver=solver,
    guided=guided,
    room=window - settings.chunk,
    sinks=settings.sinks,
    sink_decay=settings.sink_decay,
  )


def causal(
  programs: Causal,
  params,
  settings: Rollout,
  text: Callable[[int], Array],
  times: Float[Array, "steps+1 batch frames"],
  keys: PRNGKeyArray,
  frames: int,
  scale: float = 1.0,
  interval: tuple[float, float] = (0.0, 1.0),
  first: Clip | None = None,
) -> Iterator[Clip]:
  """Chunks of `times.shape[-1]` new frames, the last of them cut, until there are `frames`.

  Args:
    programs, params: of the network.
    settings: of the rollout.
    text: frame -> the tokens of the captions there, [batch, length].
    times: of each chunk's frames; the same for all.
    keys: one a movie, whose noise depends on nothing else.
    frames: of the movies.
    scale, interval: of guidance.
    first: frames that the movies go on from, and that are not of them.
  """
  chunk, steps, interval = times.shape[-1], len(times) - 1, jnp.asarray(interval, jnp.float32)
  noise = np.full(len(keys), settings.noise, np.float32)
  context = Context(text=text(0))
  cache = nothing = programs.start(params, times, context, keys)
  motion, past = Motion(programs.room + chunk), Past(programs.room, programs.sinks)
  given = _length(first) if first else 0
  for number, at in enumerate(range(0, given, chunk)):  # As they would have been made.
    part = {name: np.asarray(x[:, at : at + chunk]) for name, x in first.items()}
    own = fold(fold(keys, zlib.crc32(b"given")), number)
    cache = programs.keep(params, cache, part, context, noise, own)
    past.add(part)
  for number in range(-(-frames // chunk)):
    own = fold(keys, number)
    if (now := text(number * chunk)) is not context.text:
      context = Context(text=now)
      if number and settings.on_change == "cut":
        cache = nothing
      elif number and settings.on_change != "keep":
        seen = past.frames if settings.on_change == "recache" else past.last(chunk)
        cache = programs.keep(params, None, seen, context, noise, fold(own, 2))
    clip, cache = programs.advance(params, cache, times, context, noise, own, scale, interval, steps)
    clip = jax.device_get(clip)
    if settings.on_change in ("flush", "recache"):
      past.add(clip)
    if settings.revive:
      motion.add(clip)
    if motion.first is not None:
      dead = revival(motion.now, motion.first)
      noise = np.minimum(settings.noise + settings.revive * dead, 1).astype(np.float32)
    yield {name: x[:, : frames - number * chunk] for name, x in clip.items()}


def revival(motion: Float[np.ndarray, "batch"], first: Float[np.ndarray, "batch"]) -> np.ndarray:
  """How dead each movie is, from 0, as lively as it began, to 1, without motion: the closed loop's error.

  Noise on the frames kept takes the certainty out of them that nothing moves; it rises with what is missing
  of the motion and goes with the cause.
  """
  return np.clip(1 - motion / np.maximum(first, 1e-6), 0, 1)


class Motion:
  """The mean absolute change from frame to frame of the first sense: of the first frames, and of the last."""

  def __init__(self, window: int):
    self.window, self._changes, self._last, self.first = window, [], None, None

  def add(self, clip: Clip) -> None:
    """The next frames."""
    x = np.asarray(next(iter(clip.values())), np.float32)
    x = x if self._last is None else np.concatenate([self._last, x], 1)
    self._last = x[:, -1:]
    self._changes += list(np.abs(np.diff(x, axis=1)).mean(tuple(range(2, x.ndim))).T)
    if self.first is None and len(self._changes) >= self.window:
      self.first = np.mean(self._changes[: self.window], 0)
    self._changes = self._changes[-self.window :]

  @property
  def now(self) -> np.ndarray:
    """Of the last window, a movie."""
    return np.mean(self._changes, 0) if self._changes else np.zeros(0)


class Past:
  """The frames whose keys and values are kept: `room` of them, the first `sinks` and the last."""

  def __init__(self, room: int, sinks: int):
    self._room, self._sinks, self.frames = room, sinks, None

  def add(self, clip: Clip) -> None:
    """The next frames."""
    both, sinks = clip if self.frames is None else _join(self.frames, clip), self._sinks
    if _length(both) > self._room:
      newest = sinks - self._room
      both = {n: np.concatenate([x[:, :sinks], x[:, newest:]], 1) for n, x in both.items()}
    self.frames = both

  def last(self, count: int) -> Clip:
    """The last frames."""
    return {name: x[:, -count:] for name, x in self.frames.items()}


def by_rows(rollouts: Sequence[Iterator[Clip]], rows: Sequence[Sequence[int]]) -> Iterator[Clip]:
  """One rollout of several that go on side by side, of which each has these rows."""
  order = np.argsort(np.concatenate(rows))
  for parts in zip(*rollouts, strict=True):
    yield {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def prompt_at(script: str | Sequence[tuple[int, str]], frame: int) -> str:
  """What is asked for at that frame; a script is (from which frame on, prompt), the first from 0."""
  if isinstance(script, str):
    return script
  return next(prompt for start, prompt in reversed(script) if start <= frame)


def turns(script: str | Sequence[tuple[int, str]]) -> tuple[int, ...]:
  """The frames from which on something else is asked for."""
  starts = () if isinstance(script, str) else sorted({start for start, _ in script if start > 0})
  return tuple(start for start in starts if prompt_at(script, start) != prompt_at(script, start - 1))


def fold(keys: PRNGKeyArray, number: int) -> PRNGKeyArray:
  """The keys of chunk `number` of each movie; of one chunk, those of another use."""
  return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def _join(*clips: Clip) -> Clip:
  return {name: np.concatenate([clip[name] for clip in clips], 1) for name in clips[0]}


def _length(clip: Clip) -> int:
  return next(iter(clip.values())).shape[1]
