"""Circuit files: the probabilities of a circuit (`sampling.inpainting`) in one safetensors file, in bytes.

The tensors are root, leaves/SENSE, sums/SENSE/SIZE and edges; all but the edges are log-probabilities,
divided by -0.05.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stale_jax.clip import Sense
from stale_jax.errors import UserError
from stale_jax.files import AnyPath, at, local_copy, one_line, write_whole
from stale_jax.sampling.inpainting.circuit import Circuit, splits

# The circuit of the packaged model.
DIGITS_CIRCUIT = at(__file__).parents[1] / "weights" / "digits_circuit.safetensors"


_STEP = 0.05  # Resolution of a log-probability in a file.


def save_circuit(path: AnyPath, circuit: Circuit, about: Mapping[str, Any]) -> None:
  """Writes a circuit, atomically; `about` holds further facts for the reader, as JSON."""
  tensors = {"root": circuit.root}
  tensors |= {f"leaves/{name}": x for name, x in circuit.leaves.items()}
  tensors |= {f"sums/{name}/{size}": x for name, xs in circuit.sums.items() for size, x in enumerate(xs)}
  tensors = {name: _to_bytes(x) for name, x in tensors.items()}
  tensors["edges"] = np.asarray(circuit.edges, np.float32)
  write_whole(path, save(tensors, metadata={"about": json.dumps(about)}))


def load_circuit(path: str | AnyPath) -> Circuit:
  """Reads a circuit; "digits" is the packaged one.

  Raises:
    UserError: there is no such file, or it is not a circuit.
  """
  path = DIGITS_CIRCUIT if str(path) == "digits" else at(path)
  if not path.is_file():
    raise UserError(f"no circuit at {path}: fit one with experiments.circuit, or give 'digits'.")
  try:
    with local_copy(path) as file, safe_open(file, framework="numpy") as file:
      tensors = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}
    edges, root = tensors.pop("edges"), tensors["root"]
    tensors["root"] = root.ravel()
    # Rounding has changed the sums of the probabilities.
    tensors = {name: jax.nn.log_softmax(jnp.asarray(x * -_STEP)) for name, x in tensors.items()}
    tensors["root"] = tensors["root"].reshape(root.shape)
    leaves = {name.removeprefix("leaves/"): x for name, x in tensors.items() if name.startswith("leaves/")}
    sums = {name: _sizes(tensors, f"sums/{name}/") for name in leaves}
    circuit = Circuit(root=tensors["root"], leaves=leaves, sums=sums, edges=edges)
  # TypeError: NumPy lacks the type of an array.
  except (SafetensorError, KeyError, TypeError, OSError) as error:
    raise UserError(f"{path} is not a circuit file: {one_line(error)}.") from error
  if not all(np.isfinite(x).all() for x in jax.tree.leaves(circuit)):
    raise UserError(f"{path} holds NaN or infinite values; fit the circuit anew.")
  return circuit


def check_circuit(circuit: Circuit, senses: Sequence[Sense], frames: int) -> None:
  """Raises UserError unless `circuit` is one of clips of `frames` frames with some of `senses`."""
  known = {sense.name: sense for sense in senses}
  for name, leaves in circuit.leaves.items():
    if name not in known:
      raise UserError(f"the circuit has the sense {name}, which the model lacks; fit one for the model.")
    shape = known[name].shape
    steps = splits((frames, *shape[:-1]))
    counts = [int(np.prod(factors)) for factors in steps]
    if [len(x) for x in circuit.sums[name]] != counts or leaves.shape[2] != shape[-1]:
      raise UserError(
        f"the circuit does not fit {name} with {frames} frames of shape {shape}: fit one for the model."
      )


def _to_bytes(log_p) -> np.ndarray:
  """Log-probabilities as multiples of -_STEP; the least that can be stored is e^-12.7."""
  return np.clip(np.rint(np.asarray(log_p) / -_STEP), 0, 255).astype(np.uint8)


def _sizes(tensors: Mapping[str, jax.Array], prefix: str) -> tuple[jax.Array, ...]:
  """The tensors PREFIX0, PREFIX1, ... in this order."""
  count = sum(name.startswith(prefix) for name in tensors)
  return tuple(tensors[f"{prefix}{size}"] for size in range(count))
