"""Adapter files: the parameters of an adapter in one safetensors file, in the layout of PEFT and diffusers.

PEFT names the matrices of LoRA after the module that they adapt and stores them as PyTorch stores linear
layers, [outputs, inputs]:

  transformer.blocks.0.sight_qkv.lora_A.weight   [rank, inputs]
  transformer.blocks.0.sight_qkv.lora_B.weight   [outputs, rank]

The product is multiplied by alpha / rank. diffusers stores both numbers as JSON in the metadata of the file,
under "lora_adapter_metadata", each with the prefix "transformer."; but not every program reads them. So files
are written with alpha = rank, the default of all programs, and with the factor in lora_B. Files are read
with the prefix "transformer." (of diffusers' pipelines), without one (of its models) or with PEFT's. Their
alpha is that of the metadata, or of PEFT's `adapter_config.json` beside the file, else the rank; a tensor
MODULE.alpha, as other programs write it, has precedence.

DiffFit has no common layout; its tensors are named in the same way: `transformer.blocks.0.sight_out.gamma`,
and `....dense.bias` for the difference from the bias.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import traverse_util
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stale_jax.errors import UserError
from stale_jax.files import AnyPath, at, local_copy, one_line, parse_object, write_whole
from stale_jax.hosts import leads
from stale_jax.mesh import on_host
from stale_jax.models.adapters import TARGETS, DiffFit, Lora, merge, neutral
from stale_jax.models.parameters import Parameter, by_path

FILE = "adapter.safetensors"
_METADATA = "lora_adapter_metadata"
_PREFIX = "transformer."
# The file and the settings in a folder of PEFT, and the prefix of its names.
_PEFT_FILE, _PEFT_SETTINGS = "adapter_model.safetensors", "adapter_config.json"
_PEFT_PREFIX = "base_model.model."
# Settings of PEFT's LoraConfig under which an adapter is more than a product with one factor.
_UNREAD = ("alpha_pattern", "use_dora", "use_rslora", "fan_in_fan_out", "lora_bias")
_MATRICES = {"lora/a": "lora_A.weight", "lora/b": "lora_B.weight"}


def save_adapter(
  path: AnyPath, settings: Lora | DiffFit, declared: Any, adapter: Any, about: Mapping[str, Any]
) -> None:
  """Writes the parameters of an adapter in float32, atomically; all processes of a run must call this.

  Args:
    path: the file.
    settings: the settings of the adapter.
    declared: the declarations of the network's parameters.
    adapter: the trained parameters of the adapter.
    about: further facts for the reader, as JSON, for example the name of the base.
  """
  arrays = by_path(settings.declare(declared), on_host(settings.scaled(adapter)))
  tensors = {_tensor(name): _stored(name, np.asarray(x, np.float32)) for name, x in arrays.items()}
  metadata = {"format": "pt", "about": json.dumps(about)}
  lora = _lora_metadata(settings, sorted(tensors))
  if lora:
    metadata[_METADATA] = json.dumps(lora, indent=2, sort_keys=True)
  if leads():
    write_whole(path, save(tensors, metadata=metadata))


def with_adapters(params: Any, declared: Any, adapters: Sequence[tuple[Any, float]]) -> Any:
  """Merges adapters into the parameters of a network.

  Args:
    params: the parameters.
    declared: the declarations of the network's parameters.
    adapters: (path, weight) of adapter files or folders of runs that trained an adapter. The result does not
      depend on their order.

  Raises:
    UserError: a file is no adapter, or does not fit the network.
  """
  return merge(params, [(load_adapter(path, declared), weight) for path, weight in adapters])


def weighted(adapters: Sequence[Any]) -> list[tuple[Any, float]]:
  """Returns (path, weight) of each of `adapters`, which are paths, with weight 1, or such pairs.

  Raises:
    UserError: `adapters` is no list of these, or a weight is no finite number.
  """
  if isinstance(adapters, str):
    raise UserError(f"adapters={adapters!r} must be a list: give [{adapters!r}].")
  pairs = [each if isinstance(each, tuple | list) else (each, 1.0) for each in adapters]
  for pair in pairs:
    weight = pair[1] if len(pair) == 2 else None
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(weight):
      raise UserError(
        f"adapters: {tuple(pair)!r} is no (path, weight) with a finite weight; 1 is full strength."
      )
  return [(path, float(weight)) for path, weight in pairs]


def load_adapter(path: str | AnyPath, declared: Any) -> Any:
  """Reads an adapter file, of this package or of PEFT or diffusers.

  Args:
    path: the file, or the folder of a run that trained an adapter, or a folder of PEFT.
    declared: the declarations of the network's parameters.

  Returns:
    The tree of the adapter, with the factor alpha / rank. Layers that the file lacks are not changed.

  Raises:
    UserError: there is no such file, it is no adapter, or it does not fit the network.
  """
  path = at(path)
  if path.is_dir():
    path = path / (FILE if (path / FILE).is_file() else _PEFT_FILE)
  if not path.is_file():
    raise UserError(f"no adapter at {path}: give an adapter file (.safetensors) or the folder of its run.")
  tensors, alpha = _read(path)
  rank = _rank(tensors, path)
  candidates = [DiffFit().declare(declared)]
  if rank:
    candidates.append(Lora(rank=rank, targets=TARGETS).declare(declared))
  tree, unread = {}, dict(tensors)
  for candidate in candidates:
    for keys, parameter in traverse_util.flatten_dict(candidate).items():
      names = [_tensor(name) for name in parameter.paths]
      if any(name in tensors for name in names):
        parts = [_part(unread.pop(name, None), parameter, alpha, name, path) for name in names]
        tree[keys] = np.reshape(np.stack(parts), parameter.stored_shape)
  if unread or not tree:
    found = f"has no place for {min(unread)}" if unread else "has no place for it: the file is empty"
    raise UserError(
      f"{path} is an adapter of another network: this network {found}; load it with its own base."
    )
  for keys in [keys for keys in tree if keys[-2:] in (("lora", "a"), ("lora", "b"))]:
    if (*keys[:-1], "a") not in tree or (*keys[:-1], "b") not in tree:
      raise UserError(
        f"{path} lacks lora_A or lora_B of {'/'.join(keys[1:-2])}; use another copy of the file."
      )
  return traverse_util.unflatten_dict(tree)


def _read(path: AnyPath) -> tuple[dict[str, np.ndarray], Any]:
  """Reads a file: returns (name -> tensor, function from the name of a tensor to its alpha, or None)."""
  try:
    with local_copy(path) as file, safe_open(file, framework="numpy") as file:
      metadata = file.metadata() or {}
      tensors = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}
  # TypeError: NumPy lacks the type of an array.
  except (SafetensorError, TypeError, OSError) as error:
    raise UserError(f"{path} is not an adapter file: {one_line(error)}.") from error
  for name, x in tensors.items():
    if not np.isfinite(x).all():
      raise UserError(f"{path}: {name} holds NaN or infinite values: its training has diverged; train anew.")
  common = _stated_alpha(path, metadata)
  bare = {name.removeprefix(_PEFT_PREFIX).removeprefix(_PREFIX): x for name, x in tensors.items()}
  tensors = {_PREFIX + name: x for name, x in bare.items()}
  own = {
    name.removesuffix(".alpha"): float(x.item()) for name, x in tensors.items() if name.endswith(".alpha")
  }

  def alpha(name: str) -> float | None:
    return own.get(name.partition(".lora_")[0], common)

  return {name: x for name, x in tensors.items() if not name.endswith(".alpha")}, alpha


def _stated_alpha(path: AnyPath, metadata: Mapping[str, str]) -> float | None:
  """The alpha in the metadata of a file, or in the settings beside it; None if neither has one."""
  beside, advice = path.parent / _PEFT_SETTINGS, "use another copy of it"
  if _METADATA in metadata:
    stated = parse_object(metadata[_METADATA], f"{_METADATA} in {path}", advice)
  elif path.name == _PEFT_FILE and beside.is_file():
    stated = parse_object(beside.read_text(), str(beside), advice)
  else:
    return None
  stated = {name.removeprefix(_PREFIX): value for name, value in stated.items()}
  if refused := [name for name in _UNREAD if stated.get(name)]:
    raise UserError(f"{path} was made with {refused[0]}={stated[refused[0]]!r}, which cannot be read.")
  found = stated.get("lora_alpha")
  if found is not None and (isinstance(found, bool) or not isinstance(found, int | float)):
    raise UserError(f"{path} states lora_alpha={found!r}, which is no number; {advice}.")
  return found


def _rank(tensors: Mapping[str, np.ndarray], path: AnyPath) -> int | None:
  """The rank of all matrices of a file; None if it has none."""
  ranks = {x.shape[0] for name, x in tensors.items() if name.endswith(_MATRICES["lora/a"]) and x.ndim}
  if len(ranks) > 1:
    raise UserError(f"{path} has matrices of ranks {sorted(ranks)}; files of one rank can be read.")
  return ranks.pop() if ranks else None


def _part(x: np.ndarray | None, parameter: Parameter, alpha: Any, name: str, path: AnyPath) -> np.ndarray:
  """The value of one parameter, from the tensor `name`; neutral if there is none."""
  if x is None:
    return np.full(parameter.shape, neutral(parameter), np.float32)
  x = x.T if name.endswith(tuple(_MATRICES.values())) else x
  if x.shape != parameter.shape:
    raise UserError(f"{path}: {name} has shape {x.shape}, but this network needs {parameter.shape}.")
  if name.endswith(_MATRICES["lora/b"]) and (strength := alpha(name)) is not None:
    x = x * np.float32(strength / len(x))
  return x


def _tensor(name: str) -> str:
  """The name in a file of the parameter `name`, for example block_0/sight_qkv/lora/a."""
  for end, stored in _MATRICES.items():
    name = f"{name.removesuffix(end)}{stored}" if name.endswith(end) else name
  return _PREFIX + re.sub(r"^block_(\d+)/", r"blocks/\1/", name).replace("/", ".")


def _stored(name: str, x: np.ndarray) -> np.ndarray:
  """The parameter `name` as it is stored: matrices of LoRA as PyTorch's linear layers store theirs."""
  return np.ascontiguousarray(x.T) if name.endswith(tuple(_MATRICES)) else x


def _lora_metadata(settings: Lora | DiffFit, tensors: Sequence[str]) -> dict[str, Any]:
  """The fields of PEFT's LoraConfig that the matrices `tensors` need; {} if there are none."""
  modules = sorted(
    {name.removeprefix(_PREFIX).partition(".lora_")[0] for name in tensors if ".lora_" in name}
  )
  if not modules:
    return {}
  fields = {"r": settings.rank, "lora_alpha": settings.rank, "target_modules": modules}
  return {f"{_PREFIX}{name}": value for name, value in {**fields, "peft_type": "LORA"}.items()}
