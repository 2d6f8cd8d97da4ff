"""The trunk: a sequence of transformer blocks, unrolled or scanned.

With a scan over the stacked parameters, compilation takes the time of one block, but the steps of a scan are
slower on the CPU. So by default the trunk is scanned on accelerators and unrolled on the CPU.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stale_jax.mesh import current_mesh, declared_spec, device_kind
from stale_jax.models.block import Block
from stale_jax.models.lanes import Lane, split
from stale_jax.models.mixers import TokenLayout
from stale_jax.models.parameters import Draws, named_key


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk:
  """A sequence of `depth` blocks.

  Attributes:
    block: the block.
    depth: number of blocks.
    scan: whether to scan over the blocks; None: on accelerators only.
    declared: the declarations of the blocks' stacked parameters.
    number: the field `number` of `parameters.Draws` of the blocks if the trunk is unrolled.
    skip: indices of blocks that are not applied.
    first: index of the first block, if the trunk is a part of a deeper one.
  """

  block: Block
  depth: int
  scan: bool | None
  declared: Any
  number: int = 1
  skip: tuple[int, ...] = ()
  first: int = 0

  def __call__(
    self,
    params: dict[str, Any],
    lanes: tuple[Lane, ...],
    streams: dict[str, Array],
    conditions: dict[str, Array],
    layout: TokenLayout,
    key: PRNGKeyArray | None = None,
    return_aux: tuple[str, ...] = (),
  ) -> tuple[dict[str, Array], dict[str, Any]]:
    """Applies all blocks but those in `skip`.

    A trunk that returns auxiliary outputs or attends to extra keys is always unrolled.

    Args:
      params: the parameters of the model; "blocks" holds the stacked parameters of the blocks.
      lanes, streams, conditions, layout: see `block.Block`.
      key: PRNG key for training; None when sampling.
      return_aux: names of the auxiliary outputs that are needed: those of the mixer, and "streams", the
        tokens of every stream after the block (the residual stream).

    Returns:
      (lane -> tokens after the last block, block name -> those of its auxiliary outputs that are needed). The
      dictionary may be empty unless `return_aux`.
    """
    params = params["blocks"]
    scan = device_kind() != "cpu" if self.scan is None else self.scan
    if scan and self.depth > 1 and not return_aux and not layout.extra:
      return self._scanned(params, lanes, streams, conditions, layout, key), {}
    aux = {}
    for layer, layer_params in self.applied(params):
      name = f"block_{layer}"
      draws = None if key is None else Draws(key=key, path=(name,), number=self.number)
      streams, outputs = self.block(layer_params, lanes, streams, conditions, layout, name, draws)
      if "streams" in return_aux:
        outputs = {**outputs, "streams": split(lanes, streams)}
      aux[name] = {kind: x for kind, x in outputs.items() if kind in return_aux}
    return streams, aux

  def applied(self, blocks: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """Returns the index and the parameters of each block that is applied."""
    layers = enumerate(self.layers(blocks), self.first)
    return [(layer, tree) for layer, tree in layers if layer not in self.skip]

  def layers(self, blocks: dict[str, Any]) -> list[dict[str, Any]]:
    """Unstacks the parameters: returns a list with the parameters of each block."""
    leaves, structure = jax.tree.flatten(blocks)
    # The gradient of one split is one concatenation; the gradient of slices would be a sum of padded arrays.
    parts = [jax.lax.split(x, (1,) * self.depth) for x in leaves]
    return [jax.tree.unflatten(structure, [part[i][0] for part in parts]) for i in range(self.depth)]

  def _scanned(self, params, lanes, streams, conditions, layout, key):
    mesh = current_mesh()
    declared = dict(jax.tree_util.tree_leaves_with_path(self.declared))

    def cast(path, x):
      if (parameter := declared.get(path)) is None:  # A parameter of an adapter: small, and cast when used.
        return x
      x = x.astype(self.block.dtype) if parameter.is_matrix else x
      if mesh is None:
        return x
      return jax.lax.with_sharding_constraint(x, declared_spec(mesh, parameter))

    def step(streams, xs):
      layer, layer_params = xs
      draws = None if key is None else Draws(key=jax.random.fold_in(named_key(key, 1), layer))
      out, _ = self.block(layer_params, lanes, streams, conditions, layout, "block", draws)
      return out, None

    xs = jnp.arange(self.depth), jax.tree_util.tree_map_with_path(cast, params)
    if self.skip:
      applied = np.array([layer for layer in range(self.depth) if layer not in self.skip])
      xs = jax.tree.map(lambda x: x[applied], xs)
    return jax.lax.scan(step, streams, xs)[0]
