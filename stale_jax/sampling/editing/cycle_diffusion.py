"""CycleDiffusion: translation of clips by sampling twice with the same noise (arXiv 2210.05559, section 3.3).

The noise with which model A under prompt a makes a clip is found by the DPM-Encoder, and model B under prompt
b samples with it. What the noise determines in both models alike, such as the place and the motion of an
object, is kept; what the prompts or models say differently changes. No training on pairs is needed.

While the means of the two samplers differ by d_s = m_b(x + d_t) - m_a(x) in a step, the edited path differs
from the path of the source by d_s. Nothing changes where the two models agree.
"""

import dataclasses
from collections.abc import Mapping

from jaxtyping import Array, Float

from stale_jax.clip import Clip
from stale_jax.sampling.editing.dpm_encoder import NO_SENSES, decode, encode
from stale_jax.sampling.solvers import Reverse


def translate(
  source: Reverse,
  target: Reverse,
  clip: Clip,
  eta: Float[Array, ""] | float,
  others: Mapping[str, Array] = NO_SENSES,
) -> Clip:
  """Encodes `clip` with `source`, and decodes its noise with `target`.

  Args:
    source, target: the two samplers. They must have the same grid of times and the same process; they may
      have different networks, prompts and guidance.
    clip: sense -> [batch, frames, *shape].
    eta: share of fresh noise in a step, above 0 and at most 1; see `encode`.
    others: senses that `clip` lacks, to be made along; see `encode`.
  """
  codes = encode(source, clip, eta, others)
  return decode(dataclasses.replace(target, times=source.times), codes, eta)
