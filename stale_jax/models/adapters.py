"""Adapters: small sets of new parameters that adapt a trained network while its own parameters stay frozen.

LoRA (Hu et al., arXiv 2106.09685) adds a product of two thin matrices to a kernel: W + (alpha / rank) A B.
DiffFit (Xie et al., arXiv 2304.06648) trains the biases, the scales of norms and the embedding of the
condition, and a new scale gamma on the outputs of attention and MLP.

An adapter is a tree with the structure of the network's parameters, restricted to what it changes. Its leaves
are *differences* from the frozen parameters (initially 0), except two kinds of new leaves beside the kernel
of a linear layer: `lora`, the matrices a and b, and `gamma` (initially 1). So every network with an untrained
adapter equals the network without it.

`insert` gives the parameters that training differentiates: the layer `layers.linear` applies `lora` and
`gamma` to activations. Gradients are then as small as the adapter. With a gradient of W + A B instead, a step
would compute the gradient of the whole kernel first. `merge` gives ordinary parameters, for sampling.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from stale_jax.errors import UserError
from stale_jax.fields import check_fields, choice, number
from stale_jax.models.parameters import ONES, ZEROS, Parameter

# Linear layers of a block that LoRA can adapt: the suffixes of their names.
TARGETS = ("qkv", "out", "up", "down", "modulation")
_LORA, _GAMMA = "lora", "gamma"
# The default of PEFT: uniform with bound 1 / sqrt(inputs).
_UNIFORM = jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


@runtime_checkable
class Adapter(Protocol):
  """The settings of an adapter."""

  def declare(self, declared: Any) -> Any:
    """Declares the parameters of the adapter of a network; `declared` is the network's declarations.

    Raises:
      UserError: the network has nothing that the adapter could change.
    """
    ...

  def scaled(self, tree: Any) -> Any:
    """The trained parameters `tree` in the form of `insert` and `merge`: with the factor alpha / rank."""
    ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lora:
  """LoRA: the sum of a kernel and a product of two thin matrices (Hu et al., arXiv 2106.09685).

  Attributes:
    rank: inner width of the product.
    alpha: strength; the product is multiplied by alpha / rank.
    targets: the linear layers of each block that are adapted: "qkv" and "out" of the attention, "up" and
      "down" of the MLP, "modulation" by time and caption.
  """

  rank: int = number(8, least=1, most=1 << 16)
  alpha: float = number(8.0, above=0)
  targets: tuple[str, ...] = choice(("qkv", "out", "up", "down"), TARGETS)

  def __post_init__(self):
    check_fields(self, "adapter")
    if not self.targets:
      raise UserError(f"adapter.targets is empty; name at least one of {', '.join(TARGETS)}.")

  def declare(self, declared: Any) -> Any:
    """See `Adapter`."""

    def add(layer: Mapping[str, Any]) -> dict[str, Any]:
      inputs, features = layer["dense"]["kernel"].shape
      return {
        _LORA: {
          "a": _beside(layer, f"{_LORA}/a", (inputs, self.rank), _UNIFORM),
          "b": _beside(layer, f"{_LORA}/b", (self.rank, features), ZEROS),
        }
      }

    found = _in_layers(declared["params"]["blocks"], self.targets, add)
    if not found:
      raise UserError(f"adapter.targets={self.targets}: no block of this network has such a layer.")
    return {"params": {"blocks": found}}

  def scaled(self, tree: Any) -> Any:
    """See `Adapter`."""
    return _map_b(tree, lambda b: b * (self.alpha / self.rank))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffFit:
  """DiffFit: biases, norms, caption embedding and scales of block outputs (Xie et al., arXiv 2304.06648).

  The network's norms before attention and MLP have no parameters (adaLN); of the norms, those of queries and
  keys and of the caption's encoder have scales. The biases of the modulation shift all modulations.
  """

  def declare(self, declared: Any) -> Any:
    """See `Adapter`."""
    out = _changes(declared["params"])
    layers = _in_layers(declared["params"]["blocks"], ("out", "down"), _declare_gamma)
    return {"params": {**out, "blocks": _united(out["blocks"], layers)}}

  def scaled(self, tree: Any) -> Any:
    """See `Adapter`."""
    return tree


ADAPTERS = {"difffit": DiffFit, "lora": Lora}


def insert(params: Any, adapter: Any) -> Any:
  """The parameters of the network with an adapter, for `Transformer.apply` in training.

  Args:
    params: parameters of the network.
    adapter: the tree of an adapter, `Adapter.scaled`.
  """
  out = dict(params)
  for name, value in adapter.items():
    if name in (_LORA, _GAMMA):
      out[name] = value
    else:
      out[name] = insert(params[name], value) if isinstance(value, Mapping) else params[name] + value
  return out


def merge(params: Any, adapters: Sequence[tuple[Any, float]]) -> Any:
  """The ordinary parameters of a network with adapters; the result does not depend on their order.

  A weight w multiplies the differences and the products A B, and interpolates gamma: 1 + w (gamma - 1). At
  weight 0 an adapter changes nothing.

  Args:
    params: parameters of the network.
    adapters: (tree of an adapter, `Adapter.scaled`; its weight).
  """
  for tree, weight in adapters:
    params = _add(params, tree, weight)
  for tree, weight in adapters:
    params = _scale(params, tree, weight)
  return params


def _add(params: Any, tree: Any, weight: float) -> Any:
  """Adds the differences and products of an adapter."""
  out = dict(params)
  for name, value in tree.items():
    if name == _LORA:
      product = jnp.matmul(value["a"], value["b"], precision=jax.lax.Precision.HIGHEST)
      kernel = out["dense"]["kernel"] + weight * product
      out["dense"] = {**out["dense"], "kernel": kernel}
    elif name != _GAMMA:
      is_tree = isinstance(value, Mapping)
      out[name] = _add(out[name], value, weight) if is_tree else out[name] + weight * value
  return out


def _scale(params: Any, tree: Any, weight: float) -> Any:
  """Multiplies outputs of layers by the gammas of an adapter."""
  out = dict(params)
  for name, value in tree.items():
    if name == _GAMMA:
      factor = 1 + weight * (value - 1)
      kernel, bias = out["dense"]["kernel"], out["dense"]["bias"]
      out["dense"] = {"kernel": kernel * factor[..., None, :], "bias": bias * factor}
    elif name != _LORA and isinstance(value, Mapping):
      out[name] = _scale(out[name], value, weight)
  return out


def neutral(parameter: Parameter) -> float:
  """The value of an adapter's parameter that changes nothing: 1 for gamma, else 0."""
  return float(parameter.init is ONES)


def _beside(layer: Mapping[str, Any], name: str, shape: tuple[int, ...], init: Callable) -> Parameter:
  """Declares a new parameter beside the kernel of a linear layer, stacked like the kernel."""
  kernel = layer["dense"]["kernel"]
  paths = tuple(path.removesuffix("dense/kernel") + name for path in kernel.paths)
  return Parameter(shape=shape, init=init, stack=kernel.stack, paths=paths)


def _declare_gamma(layer: Mapping[str, Any]) -> dict[str, Any]:
  return {_GAMMA: _beside(layer, _GAMMA, layer["dense"]["kernel"].shape[1:], ONES)}


def _in_layers(tree: Mapping[str, Any], suffixes: Sequence[str], add: Callable) -> dict[str, Any]:
  """The declarations that `add` returns for each linear layer whose name ends in one of `suffixes`."""
  found = {}
  for name, node in tree.items():
    if not isinstance(node, Mapping):
      continue
    if "dense" not in node:
      inner = _in_layers(node, suffixes, add)
    else:
      inner = add(node) if name.rpartition("_")[2] in suffixes else {}
    if inner:
      found[name] = inner
  return found


def _changes(tree: Mapping[str, Any]) -> dict[str, Any]:
  """Declares the differences that DiffFit trains: of all vectors, and of the embedding of caption bytes."""
  found = {}
  for name, node in tree.items():
    if isinstance(node, Mapping):
      if inner := _changes(node):
        found[name] = inner
    elif not node.is_matrix or name == "embedding":
      found[name] = dataclasses.replace(node, init=ZEROS)
  return found


def _united(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
  """The union of two trees whose leaves have different paths."""
  out = dict(a)
  for name, value in b.items():
    out[name] = _united(out[name], value) if name in out else value
  return out


def _map_b(tree: Mapping[str, Any], change: Callable) -> dict[str, Any]:
  """Applies `change` to the matrices b of all `lora`."""
  out = {}
  for name, value in tree.items():
    if name == _LORA:
      out[name] = {"a": value["a"], "b": change(value["b"])}
    else:
      out[name] = _map_b(value, change) if isinstance(value, Mapping) else value
  return out
