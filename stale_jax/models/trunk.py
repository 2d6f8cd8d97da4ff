"""The trunk: blocks one after another, unrolled or scanned.

Whether one program of a block is scanned over the stacked parameters or each block has its own is a choice
for a backend: a scan compiles in the time of one block, but on the CPU its steps are slower.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stale_jax.mesh import current_mesh, declared_spec, device_kind
from stale_jax.models.block import Block
from stale_jax.models.lanes import Lane
from stale_jax.models.mixers import TokenLayout
from stale_jax.models.parameters import Draws, named_key


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk:
  """`depth` blocks.

  Attributes:
    block: one of them.
    depth: how many.
    scan: whether they are scanned; None: what the backend does better, scanned on accelerators.
    declared: the declarations of their parameters.
    number: of the draw of a block (`parameters.Draws`).
  """

  block: Block
  depth: int
  scan: bool | None
  declared: Any
  number: int = 1

  def __call__(
    self,
    params: dict[str, Any],
    lanes: tuple[Lane, ...],
    streams: dict[str, Array],
    conditions: dict[str, Array],
    layout: TokenLayout,
    key: PRNGKeyArray | None = None,
    return_aux: bool = False,
  ) -> tuple[dict[str, Array], dict[str, Any]]:
    """(streams after all blocks, block -> what it tells if `tells`); arguments as those of `Block`.

    `params` are the model's, of which the blocks' are stacked.
    """
    params = params["blocks"]
    scan = device_kind() != "cpu" if self.scan is None else self.scan
    if scan and self.depth > 1 and not return_aux and not layout.extra:
      return self._scanned(params, lanes, streams, conditions, layout, key), {}
    aux = {}
    for layer, own in enumerate(self.layers(params)):
      name = f"block_{layer}"
      draws = None if key is None else Draws(key=key, path=(name,), number=self.number)
      streams, aux[name] = self.block(own, lanes, streams, conditions, layout, name, draws)
    return streams, aux

  def layers(self, blocks: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of each block."""
    leaves, structure = jax.tree.flatten(blocks)
    # The gradient of a split is one concatenation; that of slices would be a sum of padded arrays.
    parts = [jax.lax.split(x, (1,) * self.depth) for x in leaves]
    return [jax.tree.unflatten(structure, [part[i][0] for part in parts]) for i in range(self.depth)]

  def _scanned(self, params, lanes, streams, conditions, layout, key):
    mesh = current_mesh()

    def cast(x, parameter):
      x = x.astype(self.block.dtype) if parameter.is_matrix else x
      if mesh is None:
        return x
      return jax.lax.with_sharding_constraint(x, declared_spec(mesh, parameter))

    def step(streams, given):
      layer, own = given
      draws = None if key is None else Draws(key=jax.random.fold_in(named_key(key, 1), layer))
      out, _ = self.block(own, lanes, streams, conditions, layout, "block", draws)
      return out, None

    given = jnp.arange(self.depth), jax.tree.map(cast, params, self.declared)
    return jax.lax.scan(step, streams, given)[0]
