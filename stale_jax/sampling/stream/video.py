"""Video-to-video: what of the source's chunks enters a stream batch, and with how much noise.

The similarity filter drops chunks that hardly differ from the last one that was processed; the last output is
then shown again. The noise controller chooses the noise of the others from the motion of the source.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from stale_jax.clip import Clip, Context
from stale_jax.sampling.stream.batch import Entering
from stale_jax.sampling.stream.noise import NoiseController, NoiseState
from stale_jax.sampling.stream.similarity import SimilarityFilter, SimilarityState


@flax.struct.dataclass
class VideoState:
  """What is remembered of the sources, with a leading axis for the streams.

  Attributes:
    similarity: states of the filter.
    noise: states of the noise controller.
    seen: number of chunks seen of each source; 0: the next one begins a source.
  """

  similarity: SimilarityState
  noise: NoiseState
  seen: Int[Array, "streams"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoToVideo:
  """Turns chunks of source videos into what enters a stream batch.

  Attributes:
    similarity: the similarity filter; it compares whole chunks.
    noise: the noise controller.
    sense: the sense that decides.
  """

  similarity: SimilarityFilter = SimilarityFilter()
  noise: NoiseController = NoiseController()
  sense: str = "sight"

  def start(self, source: Clip) -> VideoState:
    """The state before the first chunk, for sources in the shapes of `source`."""
    chunks = source[self.sense]
    return VideoState(
      similarity=jax.vmap(self.similarity.start)(chunks),
      noise=jax.vmap(self.noise.start)(chunks[:, 0]),
      seen=jnp.zeros(len(chunks), jnp.int32),
    )

  def reset(self, state: VideoState, which: Bool[Array, "streams"]) -> VideoState:
    """Forgets the sources of the streams in `which`."""
    return state.replace(seen=jnp.where(which, 0, state.seen))

  def decide(
    self,
    state: VideoState,
    source: Clip,
    arrived: Bool[Array, "streams"],
    keys: Key[Array, "streams"],
  ) -> tuple[VideoState, Bool[Array, "streams"], Float[Array, "streams"]]:
    """Decides about one chunk of each stream.

    Args:
      state: the state after the previous chunks.
      source: chunks of the sources, sense -> [streams, chunk, *shape]; only `sense` is read. The values of a
        chunk that has not arrived do not matter.
      arrived: streams whose source has a new chunk; the states of the others do not change.
      keys: PRNG keys of the streams.

    Returns:
      (the new state, which chunks enter, the factors on their noise levels). Streams in `arrived` that do not
      enter show their last output again.
    """
    chunks, is_first = source[self.sense], state.seen == 0
    before = _where(is_first, self.start(source), state)
    own = jax.vmap(jax.random.fold_in)(keys, state.seen)
    similarity, is_processed = jax.vmap(self.similarity)(before.similarity, chunks, own)

    def controlled(noise, frames):
      return jax.lax.scan(lambda noise, frame: (self.noise(noise, frame), None), noise, frames)[0]

    noise = jax.vmap(controlled)(before.noise, chunks)
    after = VideoState(similarity=similarity, noise=noise, seen=state.seen + 1)
    return _where(arrived, after, state), arrived & is_processed, noise.noise

  def __call__(
    self,
    state: VideoState,
    source: Clip,
    context: Context,
    arrived: Bool[Array, "streams"],
    keys: Key[Array, "streams"],
    begins: Bool[Array, "streams"] | None = None,
  ) -> tuple[VideoState, Entering]:
    """What enters the stream batch; see `decide`.

    Args:
      state, source, arrived, keys: see `decide`.
      context: captions, encoded.
      begins: streams that start anew and see no earlier chunk; None: none.
    """
    state, which, scale = self.decide(state, source, arrived, keys)
    begins = jnp.zeros(len(which), bool) if begins is None else begins
    return state, Entering(which=which, begins=begins, context=context, source=source, scale=scale)


def _where(which: Bool[Array, "streams"], a: VideoState, b: VideoState) -> VideoState:
  """The states of `a` for the streams in `which`, those of `b` for the others."""

  def chosen(x, y):
    return jnp.where(jnp.reshape(which, (-1, *(1,) * (x.ndim - 1))), x, y)

  return jax.tree.map(chosen, a, b)
