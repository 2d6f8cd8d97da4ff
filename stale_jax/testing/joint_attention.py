"""Joint attention over all panels of a story, written the plain way."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass
class Joint:
  """Stands for `Panels` at rate 1: every panel's keys are all panels' tokens.

  The panels are the whole batch. Tokens of other panels are seen by their own sense alone, and their captions
  by nobody.
  """

  angles: dict = None
  tokens: dict = None

  def __call__(self, angles, tokens):
    self.angles, self.tokens = {}, {}
    for name, of in tokens.items():
      panels, count = len(of.real), of.real[0].size

      def all_of(x, count=count, panels=panels):
        flat = jnp.broadcast_to(jnp.reshape(x, (len(x), -1)), (panels, count))
        return jnp.broadcast_to(jnp.reshape(flat, (1, 1, -1)), (panels, 1, panels * count))

      all_tokens = jax.tree.map(all_of, of)
      own = jnp.asarray(np.repeat(np.eye(panels, dtype=bool), count, 1))[:, None]
      told = own if name == "text" else jnp.ones_like(own)
      self.tokens[name] = all_tokens.replace(
        real=all_tokens.real & told, independent_senses=jnp.where(own, all_tokens.independent_senses, True)
      )
      self.angles[name] = jnp.tile(jnp.asarray(angles[name]), (panels, 1))
    return self

  def extend(self, block, keys, values):
    """All panels' keys and values, to each."""

    def joint(x):
      flat = jnp.reshape(x, (1, 1, -1, *x.shape[3:]))
      return jnp.broadcast_to(flat, (len(x), *flat.shape[1:]))

    return tuple({name: joint(x) for name, x in part.items()} for part in (keys, values))
