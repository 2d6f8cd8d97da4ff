"""A system: data, network and diffusion, which are all that sampling needs."""

import dataclasses
import math
from typing import Any

from stale_jax.clip import Sense
from stale_jax.data.source import Source
from stale_jax.models import Autoencoder, Transformer, autoencoder
from stale_jax.models.parameters import shapes
from stale_jax.objectives import Artv, FirstFrames
from stale_jax.processes import Process, TimeSampler
from stale_jax.sampling import Rollout, Sampler, Sampling, build_sampler


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
  """The data that a network models.

  Attributes:
    source: source of the clips.
    senses: senses of the clips that the network models, in order.
  """

  source: Source
  senses: tuple[Sense, ...]

  @property
  def tokens(self) -> int:
    """Number of tokens of the senses of a clip."""
    return sum(math.prod(sense.grid(self.source.frames)) for sense in self.senses)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diffusion:
  """How a network is trained to denoise, and how clips are sampled from it.

  Attributes:
    process: the noising process.
    time_sampler: distribution of the times that training draws.
    first: how often training conditions on the first frames of a clip.
    artv: settings of next-frame training, conditioned on the first frame and the two previous ones; None if
      whole clips are denoised.
    causal: whether movies can be rolled out with a KV cache: no frame attends to a later one, and training
      drew an independent time for each frame.
    sampling: default settings of the sampler.
    rollout: default settings of movies longer than the training clips.
  """

  process: Process
  time_sampler: TimeSampler
  first: FirstFrames
  artv: Artv | None
  causal: bool
  sampling: Sampling
  rollout: Rollout

  @property
  def continues(self) -> bool:
    """Whether the model can continue conditioning frames."""
    return bool(self.first.share or self.time_sampler.independent or self.artv)


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
  """A network with its data and its diffusion: what sampling and evaluation load.

  Attributes:
    data: source and senses of the clips.
    network: a denoiser or an autoencoder.
    diffusion: how the denoiser is used; None for an autoencoder.
  """

  data: Data
  network: Transformer | Autoencoder
  diffusion: Diffusion | None

  @property
  def is_autoencoder(self) -> bool:
    """Whether the network encodes and decodes clips instead of denoising them."""
    return self.diffusion is None

  @property
  def parameter_shapes(self) -> Any:
    """The shapes of the network's parameters, as a tree; no data is read."""
    if not self.is_autoencoder:
      return shapes(self.network.declared)
    source = self.data.source
    return autoencoder.parameter_shapes(self.network, source.frames, source.senses["sight"].shape)

  def sampler(self, rollout: Rollout) -> Sampler:
    """Builds the sampler that `rollout` describes.

    Raises:
      UserError: the model was not trained for this sampler, or the settings do not suit its number of frames.
    """
    return build_sampler(rollout, self)
