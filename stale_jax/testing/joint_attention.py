"""Reference implementation of joint attention over all panels of a story."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass
class Joint:
  """Replaces `Panels` at rate 1: the keys of every panel are the tokens of all panels.

  The panels are all clips of the batch. Tokens of other panels are visible only to queries of the same sense;
  captions of other panels are not visible.
  """

  angles: dict = None
  tokens: dict = None

  def __call__(self, angles, tokens):
    self.angles, self.tokens = {}, {}
    for name, token in tokens.items():
      panels, count = len(token.real), token.real[0].size

      def all_of(x, count=count, panels=panels):
        flat = jnp.broadcast_to(jnp.reshape(x, (len(x), -1)), (panels, count))
        return jnp.broadcast_to(jnp.reshape(flat, (1, 1, -1)), (panels, 1, panels * count))

      all_tokens = jax.tree.map(all_of, token)
      own = jnp.asarray(np.repeat(np.eye(panels, dtype=bool), count, 1))[:, None]
      visible = own if name == "text" else jnp.ones_like(own)
      self.tokens[name] = all_tokens.replace(
        real=all_tokens.real & visible, independent_senses=jnp.where(own, all_tokens.independent_senses, True)
      )
      self.angles[name] = jnp.tile(jnp.asarray(angles[name]), (panels, 1))
    return self

  def extend(self, block, keys, values):
    """Gives every panel the keys and values of all panels."""

    def joint(x):
      flat = jnp.reshape(x, (1, 1, -1, *x.shape[3:]))
      return jnp.broadcast_to(flat, (len(x), *flat.shape[1:]))

    return tuple({name: joint(x) for name, x in part.items()} for part in (keys, values))
