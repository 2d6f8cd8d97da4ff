"""Checks of the arguments of `pipeline.Model`: prompts, seeds, lengths, first frames, conditions, budgets."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from stale_jax.clip import Clip
from stale_jax.data import build_senses
from stale_jax.errors import UserError
from stale_jax.sampling import Start
from stale_jax.sampling.noise_prior import NoisePrior
from stale_jax.script import LONGEST, FrameScript, Script
from stale_jax.system import System


def check_generates(system: System, name: str) -> None:
  """Raises UserError if the model is an autoencoder."""
  if system.is_autoencoder:
    raise UserError(f"{name} is an autoencoder and cannot generate clips; load a diffusion model.")


def check_weights(params: Any, name: str) -> None:
  """Raises UserError if weights hold values that are not finite; all processes must call this."""
  finite = jax.jit(lambda leaves: jnp.all(jnp.stack([jnp.isfinite(x).all() for x in leaves])))
  if not finite(jax.tree.leaves(params)):
    raise UserError(
      f"the weights of {name} hold NaN or infinite values: its training has diverged; train anew."
    )


@contextlib.contextmanager
def config_of(name: str) -> Iterator[None]:
  """Says in errors that they are about the config of the model `name`."""
  try:
    yield
  except UserError as error:
    raise UserError(f"the config of {name}: {error}") from error


def check_prompts(system: System, prompts: Sequence[str | Script], name: str) -> None:
  """Raises UserError if a prompt is white space or too long, or the model cannot follow scripts.

  The empty prompt asks for a clip without a condition on text, also of a model trained without captions.
  """
  if not prompts:
    raise UserError("there is no prompt; give a description of a movie, or '' for a clip of any kind.")
  most = system.network.text_length - 1
  for text in (text for prompt in prompts for text in _texts(prompt)):
    if text and not text.strip():
      raise UserError("the prompt has only white space; describe a movie, or give '' for a clip of any kind.")
    try:
      length = len(text.encode())
    except UnicodeEncodeError as error:
      raise UserError("the prompt is not valid UTF-8.") from error
    if length > most:
      raise UserError(
        f"the prompt has {length} bytes, and this model reads at most {most}: shorten {text!r}."
      )
  if not system.diffusion.continues and any(not isinstance(prompt, str) for prompt in prompts):
    raise UserError(f"{name} cannot follow a script: train it with first.share=.5, or use a causal model.")


def _texts(prompt: str | Script) -> list[str]:
  return [prompt] if isinstance(prompt, str) else [text for _, text in prompt.parts]


def check_rollout(
  system: System, source, prompts: Sequence[str | FrameScript], seeds: Sequence[int], name: str
) -> None:
  """Raises UserError if a rollout of these prompts and seeds is impossible."""
  if len(prompts) != len(seeds) or not len(seeds):
    raise UserError(f"a rollout needs one seed per prompt; got {len(seeds)} for {len(prompts)}.")
  if any(not isinstance(prompt, str) and (not prompt or prompt[0][0] > 0) for prompt in prompts):
    raise UserError("the first prompt of a script must start at frame 0.")
  if source is not system.data.source:
    raise UserError(
      f"{name} generates latents, which cannot be rolled out: use clips of the training length."
    )


def keys_of(seeds: Sequence[int]) -> Key[Array, "batch"]:
  """One key per seed; raises UserError if a seed is out of range."""
  if min(seeds) < 0 or max(seeds) >= 2**32:
    raise UserError(f"seeds must lie from 0 to 2^32 - 1; got {min(seeds)} to {max(seeds)}.")
  return jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))


def check_first(system: System, source, first: Clip | None, count: int, frames: int, name: str) -> None:
  """Raises UserError if `count` clips of `frames` frames cannot begin with `first`; None: no first frames."""
  if not first:
    return
  if not system.diffusion.continues:
    raise UserError(f"{name} was not trained to continue first frames: train it with first.share=.5.")
  senses = {sense.name: sense for sense in build_senses(list(first), source)}
  for key, x in first.items():
    expected = (count, x.shape[1], *senses[key].shape)
    if x.shape != expected or not 1 <= x.shape[1] < frames:
      raise UserError(
        f"first frames of {key} have shape {x.shape} (clips, frames, ...); the model needs {expected}, "
        f"with 1 to {frames - 1} frames."
      )


def initial_noise_of(
  system: System, prior: NoisePrior | None, keys: Key[Array, "batch"], frames: int, given: int
) -> Clip | None:
  """The noise that `prior` draws for the frames after the `given` ones; None without a prior.

  Raises:
    UserError: the prior is not for clips of `frames` frames of this model.
  """
  if prior is None:
    return None
  process, senses = system.diffusion.process, system.data.senses
  prior.check(process, senses, frames)
  return {name: x[:, given:] for name, x in prior.draw(process, senses, keys).items()}


def micro_of(
  system: System, asked: Mapping[str, float | Sequence[float]], count: int, name: str
) -> dict[str, np.ndarray]:
  """Checks micro-conditions and repeats single values.

  Args:
    system: system of the model.
    asked: name of a micro-condition -> one value for all clips, or one per clip.
    count: number of clips.
    name: name of the model, for error messages.

  Returns:
    name of a micro-condition -> values, [count].

  Raises:
    UserError: the model is not conditioned on it, or a value is out of range.
  """
  known = {}
  for key, value in asked.items():
    if key not in system.network.micro:
      raise UserError(f"{name} is not conditioned on {key}: train it with model.micro=({key!r},).")
    known[key] = np.broadcast_to(np.asarray(value, np.float32), (count,))
    good = known[key] > 0 if key == "fps" else known[key] >= 0
    if not (np.isfinite(known[key]) & good).all():
      raise UserError(f"{key}={value}: give a number {'above 0' if key == 'fps' else 'of at least 0'}.")
  return known


def length_of(
  system: System, source, prompts: Sequence[str | Script], seconds: float | None, fps: float | None
) -> tuple[int, float]:
  """The length and the frame rate of a movie.

  Args:
    system: system of the model.
    source: source of decoded clips; its senses have the default frame rate.
    prompts: prompts and scripts of the movies.
    seconds: least length in seconds; None: the length of training clips, after the last start of a prompt.
    fps: frames per second; None: the default frame rate.

  Returns:
    (number of frames of the model, which are latent frames in a latent model; frames per second).

  Raises:
    UserError: `seconds` is out of range, or the movie ends before the last prompt of a script begins.
  """
  rate = fps or next(iter(source.senses.values())).rate
  last = max((prompt.last for prompt in prompts if not isinstance(prompt, str)), default=0.0)
  if seconds is None:
    if not last:
      return system.data.source.frames, rate
    seconds = last + source.frames / rate
  if not 0 < seconds <= LONGEST:
    raise UserError(f"seconds={seconds}: give a positive number, at most a year.")
  group = math.lcm(*(sense.patch[0] for sense in system.data.senses))
  frames = math.ceil(seconds * rate - 1e-9)
  if math.ceil(last * rate - 1e-9) >= frames:
    raise UserError(
      f"seconds={seconds:g}, but the last prompt of the script begins at second {last:g}: give more seconds, "
      f"for example {last + source.frames / rate:g}, or leave them out."
    )
  if source is not system.data.source:
    frames = system.data.source.length(frames)
  return group * -(-frames // group), rate


def check_price(price_per_hour: float | None, budget_cents: float | None) -> None:
  """Raises UserError if a price is given without a budget."""
  if price_per_hour is not None and budget_cents is None:
    raise UserError("price_per_hour needs a budget: give budget_cents too.")


def check_start(start: Start | None, is_other: bool) -> None:
  """Raises UserError if there is a start and the request is other than for plain clips, which it needs."""
  if start is not None and is_other:
    raise UserError(
      "a teleport works only for clips of the training length, without first frames, scripts and budget."
    )


def check_budget(system: System, source, rolls: bool, conditioned: bool, name: str) -> None:
  """Raises UserError if a budget cannot be used for a movie.

  Args:
    system: system of the model.
    source: source of decoded clips.
    rolls: whether the movie is longer than a training clip.
    conditioned: whether it has first frames, micro-conditions or a tuned prior.
    name: name of the model.
  """
  if rolls:
    raise UserError("a budget works only for clips of the training length: leave out seconds.")
  if conditioned:
    raise UserError(
      "a budget works only for clips conditioned on a prompt and nothing else: leave out the first frame, "
      "fps, motion and prior."
    )
  if source is not system.data.source or system.diffusion.sampling.solver == "consistency":
    raise UserError(
      f"{name} generates latents, or was trained for a fixed number of steps: leave out budget_cents."
    )
