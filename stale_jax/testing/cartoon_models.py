"""Stand-ins for models of cartoons that show real clips: of the caption, or with a known fault."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from stale_jax.clip import Clip, floats
from stale_jax.data.sources.cartoons import Cartoons
from stale_jax.data.sources.cartoons.actions import PAIR
from stale_jax.data.sources.cartoons.caption import caption
from stale_jax.data.sources.cartoons.labels import LABELS, Labels, name
from stale_jax.sampling import Story
from stale_jax.system import Data

IDENTITY = ("skin", "hair", "build")
_TEST_CLIPS, _TRAINING_CLIPS = 2048, 4096  # Whose captions are understood, and among which a copy is chosen.


@dataclasses.dataclass(frozen=True)
class _System:
  data: Data
  is_autoencoder: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealClips:
  """Shows a new real clip of each caption of the test split. Subclasses have faults.

  Attributes:
    source: the source.
    senses: the senses of the clips.
  """

  source: Cartoons = dataclasses.field(default_factory=Cartoons)
  senses: tuple[str, ...] = ("sight", "sound", "touch", "smell", "taste")
  name = "real clips"
  goes_on = True

  @property
  def frames(self) -> int:
    """The number of frames of a clip."""
    return self.source.frames

  @property
  def system(self) -> _System:
    """The senses, where suites look for them."""
    return _System(Data(source=self.source, senses=tuple(self.source.senses[name] for name in self.senses)))

  def sample(
    self, prompts: Sequence[str], seeds: Sequence[int], story: Story | None = None, **settings
  ) -> Clip:
    """One clip per prompt; the figures of a story have one identity if its panels attend to each other."""
    one = story is not None and story.rate > 0
    clips = [
      self._clip(prompt, seed, seeds[0] if one else seed) for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    return {name: np.stack([clip[name] for clip in clips]) for name in self.senses}

  def rollout(self, prompts: Sequence[str], seeds: Sequence[int], frames: int, **settings) -> Iterator[Clip]:
    """Long clips, in one chunk."""
    yield dataclasses.replace(self, source=dataclasses.replace(self.source, frames=frames)).sample(
      prompts, seeds
    )

  def _clip(self, prompt: str, seed: int, identity: int) -> Clip:
    return self._shown(self._labels(prompt), seed, identity)

  def _labels(self, prompt: str) -> Labels:
    """The labels of a caption, with those that it does not state."""
    known = _known_captions(self.source)
    return dict(known[prompt])

  def _shown(self, labels: Labels, seed: int, identity: int) -> Clip:
    """A clip of these labels, of a figure whose looks depend on `identity`."""
    looks = np.random.default_rng([identity, 1])
    labels = {**labels, **{factor: int(looks.integers(len(LABELS[factor]))) for factor in IDENTITY}}
    take = self.source.take(labels, np.random.default_rng([seed, 2]))
    return floats(self.source.show(take))


class Frozen(RealClips):
  """Shows the first frame all the time; the other senses go on."""

  name = "frozen first frame"

  def _clip(self, prompt: str, seed: int, identity: int) -> Clip:
    clip = super()._clip(prompt, seed, identity)
    return {**clip, "sight": np.repeat(clip["sight"][:1], len(clip["sight"]), 0)}


class OtherCaption(RealClips):
  """Shows clips of other captions."""

  name = "wrong caption"

  def _labels(self, prompt: str) -> Labels:
    known = list(_known_captions(self.source).items())
    at = [words for words, _ in known].index(prompt)
    return dict(known[(at + 1) % len(known)][1])


class OtherSenses(RealClips):
  """Shows clips whose other senses are those of another caption."""

  name = "senses of another clip"

  def _clip(self, prompt: str, seed: int, identity: int) -> Clip:
    known = list(_known_captions(self.source))
    other = known[(known.index(prompt) + 1) % len(known)]
    return {**super()._clip(other, seed, identity), "sight": super()._clip(prompt, seed, identity)["sight"]}


class NearestTrainingClip(RealClips):
  """Shows the training clip whose labels match most."""

  name = "nearest training clip"

  def _clip(self, prompt: str, seed: int, identity: int) -> Clip:
    labels, known = self._labels(prompt), _training_labels(self.source)
    stated = [factor for factor in labels if factor not in IDENTITY]
    matches = [sum(one.get(factor) == labels[factor] for factor in stated) for one in known]
    return self.source[int(np.argmax(matches))]["clip"]


class OtherFigures(RealClips):
  """Shows another figure of the same character in each stretch as long as a clip."""

  name = "another figure in each window"

  def rollout(self, prompts: Sequence[str], seeds: Sequence[int], frames: int, **settings) -> Iterator[Clip]:
    """Clips in a row, one after the other."""
    for window in range(-(-frames // self.frames)):
      yield self.sample(prompts, [seed + 1000 * (window + 1) for seed in seeds])


class OnePanel(RealClips):
  """Shows the first panel of a story in all of its panels."""

  name = "first panel in all panels"

  def sample(
    self, prompts: Sequence[str], seeds: Sequence[int], story: Story | None = None, **settings
  ) -> Clip:
    """The clip of the first prompt, for all prompts."""
    one = story is not None and story.rate > 0
    return super().sample([prompts[0]] * len(prompts) if one else prompts, seeds, story)


class IndependentPanels(RealClips):
  """Draws the panels of a story independently."""

  name = "independent panels"

  def sample(
    self, prompts: Sequence[str], seeds: Sequence[int], story: Story | None = None, **settings
  ) -> Clip:
    """Clips without a common figure."""
    return super().sample(prompts, seeds)


@functools.cache
def _known_captions(source: Cartoons) -> dict[str, Labels]:
  """Caption -> labels: of test clips, and of one figure with empty hands before a still camera."""
  known = {}
  for combinations in ("seen", "unseen"):
    test = dataclasses.replace(source, split="test", combinations=combinations)
    for index in range(_TEST_CLIPS):
      labels, words, _ = test.draw(index)
      known[words] = labels
  plain = {factor: 0 for factor in ("prop", "camera", "skin", "hair", "build")}
  factors = ("character", "colour", "action", "direction", "scene", "time")
  for values in itertools.product(*(range(len(LABELS[factor])) for factor in factors)):
    labels = {**plain, **dict(zip(factors, values, strict=True))}
    if name(labels, "action") not in (*PAIR, "throws"):
      known.setdefault(caption(labels), labels)
  return known


@functools.cache
def _training_labels(source: Cartoons) -> list[Labels]:
  return [source.draw(index)[0] for index in range(_TRAINING_CLIPS)]
