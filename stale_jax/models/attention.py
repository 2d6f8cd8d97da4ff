"""Attention: projections to queries, keys and values, and joint attention over all streams."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from stale_jax.errors import UserError
from stale_jax.mesh import RULES, MeshShape, constrain, current_mesh, device_kind, parts, spec
from stale_jax.models.context_parallel import ring, ulysses
from stale_jax.models.exact_attention import DENSE, Attention, exact, softmax_attention
from stale_jax.models.kernel_attention import by_kernel, cudnn, splash, unfused
from stale_jax.models.lanes import Lane, split
from stale_jax.models.layers import linear, linear_parameters, rms_norm, rms_norm_parameters, rotate
from stale_jax.models.visibility import EMOJI, Rule, Tokens, join, known

# The widest attention heads that cuDNN supports on all GPUs.
_WIDEST = 128
# The logical axes of queries, keys and values of a stream.
QKV_AXES = ("batch", None, "tokens", "heads", None)

# Stream -> (time steps, places per time step).
Shapes = dict[str, tuple[int, int]]


def projection_parameters(width: int, heads: int, head_width: int):
  """Declares the parameters of `project` for a stream of width `width`."""
  return {
    "qkv": linear_parameters(width, 3 * heads * head_width, axes=("width", "heads"), orthogonal=True),
    "query_norm": rms_norm_parameters(head_width),
    "key_norm": rms_norm_parameters(head_width),
  }


def project(
  params, lanes: tuple[Lane, ...], entered: dict[str, Array], heads: int, head_width: int, dtype, order
) -> tuple[dict[str, Array], ...]:
  """Computes queries, keys and values with QK-norm, before the rotary embedding.

  The features of `qkv` are ordered (head, q/k/v, width), so that sharding the heads keeps the query, key and
  value of a head on one device.

  Args:
    params: `{lane}_qkv`, `{lane}_query_norm` and `{lane}_key_norm`.
    lanes: the lanes of the clip.
    entered: lane -> normed and modulated tokens, [batch, time, place, width]; a lane of several streams has
      a leading axis for them.
    heads, head_width: number and width of the attention heads.
    dtype: dtype of the computation.
    order: the names of the streams in the order of the results.

  Returns:
    (queries, keys, values), each stream -> [batch, time, place, heads, head_width].
  """

  def project_stream(params, x):
    qkv = linear(params["qkv"], x, dtype)
    qkv = constrain(jnp.reshape(qkv, (*x.shape[:3], heads, 3, head_width)), *QKV_AXES[:4], None, None)
    q, k, v = (qkv[..., i, :] for i in range(3))
    return rms_norm(params["query_norm"], q, dtype), rms_norm(params["key_norm"], k, dtype), v

  parts = {}
  for lane in lanes:
    lane_params = lane.parameters(params, "qkv", "query_norm", "key_norm")
    parts[lane.key] = lane.map(project_stream)(lane_params, entered[lane.key])
  return tuple(split(lanes, {key: part[i] for key, part in parts.items()}, order) for i in range(3))


def apply_rotary(
  streams: dict[str, Array], angles, faster: Float[np.ndarray, "heads half_width"] | None = None
) -> dict[str, Float[Array, "batch _time _place heads width"]]:
  """Applies the rotary embedding to queries or keys.

  Args:
    streams: stream -> [batch, time, place, heads, width].
    angles: stream -> [tokens, width/2] or [batch, tokens, width/2].
    faster: factor on the angles for each pair of channels in each head (`layers.rotary_jitter`); None: 1.
  """

  def rotate_stream(x, a):
    a = jnp.reshape(a, (*a.shape[:-2], *x.shape[1:3], 1, a.shape[-1]))
    return rotate(x, a if faster is None else a * faster)

  return {name: rotate_stream(x, angles[name]) for name, x in streams.items()}


def concat_streams(streams: dict[str, Array]) -> Float[Array, "batch tokens heads width"]:
  """Flattens the streams [batch, time, place, ...] and concatenates them along the tokens."""
  return jnp.concatenate([jnp.reshape(x, (len(x), -1, *x.shape[3:])) for x in streams.values()], 1)


def split_streams(x: Float[Array, "batch tokens *rest"], shapes: Shapes) -> dict[str, Array]:
  """Inverse of `concat_streams`: stream -> [batch, time, place, *rest], with (time, place) from `shapes`."""
  ends = np.cumsum([time * place for time, place in shapes.values()])[:-1]
  cut = zip(shapes.items(), jnp.split(x, ends, 1), strict=True)
  return {name: jnp.reshape(part, (len(x), *shape, *x.shape[2:])) for (name, shape), part in cut}


def shapes_of(streams: dict[str, Array]) -> Shapes:
  """(time, place) of each stream [batch, time, place, ...]."""
  return {name: x.shape[1:3] for name, x in streams.items()}


def _exact(rule: Rule, of_q: Tokens, of_k: Tokens) -> Attention:
  return exact(rule)


# Name -> (rule, what is known of the queries and keys while tracing) -> attention.
BACKENDS = {
  "xla": _exact,
  "cudnn": functools.partial(by_kernel, cudnn),
  "splash": functools.partial(by_kernel, splash),
  "unfused": functools.partial(by_kernel, unfused),
}


def _chosen(keys: int, head_width: int, dtype: DTypeLike, mesh: Mesh | None) -> str:
  """The backend that "auto" stands for: dense attention for few keys, else the kernel of the device.

  A kernel is not chosen where it would change the precision or does not support the sizes.
  """
  kind = device_kind()
  if keys <= DENSE or kind == "cpu" or (mesh is not None and mesh.shape["ring"] > 1):
    return "xla"
  if kind.startswith("TPU"):
    return "splash"
  return "cudnn" if jnp.dtype(dtype).itemsize == 2 and head_width <= _WIDEST else "xla"


def check_backend(backend: str, *, head_width: int, joint: bool, mesh: MeshShape) -> None:
  """Checks that the backend supports a model, before anything is traced.

  Args:
    backend: "auto" or one of BACKENDS.
    head_width: width of the attention heads.
    joint: whether the blocks use plain joint attention, without two forms and without token merging.
    mesh: the mesh that the model is trained on.

  Raises:
    UserError: the backend does not support this model; the message says what to set instead.
  """
  if backend in ("auto", "xla"):
    return
  name = f"model.attention={backend}"
  if not joint:
    raise UserError(f"{name} needs joint attention: leave model.forms and model.merge out, or set 'xla'.")
  if mesh.context != 1 and mesh.context != mesh.ulysses:
    raise UserError(
      f"{name} does not support ring attention: set mesh.ulysses to mesh.context, {mesh.context}, or 'xla'."
    )
  if backend == "cudnn" and head_width > _WIDEST:
    raise UserError(
      f"{name} supports heads of at most {_WIDEST} features, and model.width / model.heads is {head_width}: "
      "increase model.heads, or set 'xla'."
    )


def attend(
  q: dict[str, Array],
  k: dict[str, Array],
  v: dict[str, Array],
  tokens: dict[str, Tokens],
  backend: str = "auto",
  rule: Rule = Rule(),  # noqa: B008
  seen: dict[str, Tokens] | None = None,
) -> dict[str, Float[Array, "batch _time _place heads width"]]:
  """Joint attention over the tokens of all streams, sharded along the mesh if there is one.

  Args:
    q, k, v: stream -> [batch, time, place, heads, width].
    tokens: stream -> tokens of the queries, [batch or 1, time, place].
    backend: "xla" runs anywhere, "cudnn" on a GPU, "splash" on a TPU; "auto" is one of these three; "unfused"
      divides the work like the two kernels, but holds all logits, and is for counting operations.
    rule: the attention mask.
    seen: stream -> tokens of the keys, if there are extra keys; None: the same as `tokens`.

  Returns:
    Stream -> attended values, [batch, time, place, heads, width].

  Raises:
    UserError: `backend` does not support ring attention.
  """
  mesh = current_mesh()
  # JAX transformations return dictionaries with sorted keys; restore the order of the streams.
  q, k, v = ({name: x[name] for name in tokens} for x in (q, k, v))
  if backend == "auto":
    keys, first = sum(x.shape[1] * x.shape[2] for x in k.values()), next(iter(q.values()))
    backend = _chosen(keys, first.shape[-1], first.dtype, mesh)
  if mesh is None or (backend == "xla" and parts(mesh, "tokens") == 1):

    def local(q, k, v, of_q, of_k):
      inner = BACKENDS[backend](rule, known(of_q), known(of_k))
      return split_streams(
        inner(concat_streams(q), concat_streams(k), concat_streams(v), join(of_q), join(of_k))[0],
        shapes_of(q),
      )

    count = sum(x.shape[1] * x.shape[2] for x in q.values())
    if seen is None and rule.causal and backend == "xla" and count <= DENSE:
      return _causal_halves(local, q, k, v, tokens)
    return local(q, k, v, tokens, tokens if seen is None else seen)
  if seen is not None:
    # As `jax.shard_map` orders the streams.
    tokens, seen = jax.tree.map(lambda x: x, (tokens, seen))
    return _on_heads(BACKENDS[backend](rule, known(tokens), known(seen)), mesh, q, k, v, tokens, seen)

  # Each device holds an equal part of the places of every stream, which are padded to a multiple.
  ways = parts(mesh, "tokens")
  places = {name: x.shape[2] for name, x in q.items()}

  def padded(x):
    missing = -x.shape[2] % ways
    if not missing:
      return x
    np_or_jnp = np if isinstance(x, np.ndarray) else jnp
    return np_or_jnp.pad(x, ((0, 0), (0, 0), (0, missing), *((0, 0),) * (x.ndim - 3)))

  q, k, v, tokens = jax.tree.map(padded, (q, k, v, tokens))
  inner = _sharded(rule, backend, mesh, tokens)

  def local(q, k, v, tokens):
    of = join(tokens, len(next(iter(q.values()))))
    return split_streams(
      inner(concat_streams(q), concat_streams(k), concat_streams(v), of, of)[0], shapes_of(q)
    )

  qkv_specs = jax.tree.map(lambda x: spec(mesh, x.shape, QKV_AXES), q)
  token_specs = jax.tree.map(lambda x: spec(mesh, x.shape, QKV_AXES[:3]), tokens)
  sharded = jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(qkv_specs, qkv_specs, qkv_specs, token_specs),
    out_specs=qkv_specs,
    check_vma=backend == "xla",  # Kernels do not declare the mesh axes along which their results vary.
  )
  return {name: x[:, :, : places[name]] for name, x in sharded(q, k, v, tokens).items()}


def _on_heads(inner: Attention, mesh, q, k, v, tokens, seen) -> dict[str, Array]:
  """Attention to extra keys on a mesh: every device has all tokens of its clips, and its share of the heads.

  The axes that otherwise shard tokens shard the heads, too, if their number allows it; else the devices along
  these axes compute the same.
  """
  every = (*RULES["heads"], *RULES["tokens"])
  heads = next(iter(q.values())).shape[-2]
  ways = math.prod(mesh.shape[axis] for axis in every)
  shares = every if heads % ways == 0 else RULES["heads"]

  def spec_of(x):
    batch = RULES["batch"] if x.shape[0] % parts(mesh, "batch") == 0 else None
    return P(batch, None, None, *((shares, None) if x.ndim == 5 else ()))

  def local(q, k, v, of_q, of_k):
    of_q, of_k = (join(of, len(next(iter(q.values())))) for of in (of_q, of_k))
    out = inner(concat_streams(q), concat_streams(k), concat_streams(v), of_q, of_k)[0]
    return split_streams(out, shapes_of(q))

  arguments = (q, k, v, tokens, seen)
  specs = jax.tree.map(spec_of, arguments)
  sharded = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=specs[0], check_vma=False)
  return sharded(*arguments)


def _causal_halves(local, q, k, v, tokens: dict[str, Tokens]) -> dict[str, Array]:
  """Causal attention in two parts: the earlier half of the frames to itself, the later half to all frames.

  This skips the quarter of all pairs in which an earlier query meets a later key; all of it is masked.
  """
  middle = max(int(of.frame.max()) for of in tokens.values()) // 2
  # Number of time steps of each stream in the earlier half. The emoji, at frame -1, sees all frames, so it
  # belongs to the later half.
  times = {
    name: int(((of.frame <= middle) & (of.stream != EMOJI))[0, :, 0].sum()) for name, of in tokens.items()
  }

  def earlier(streams):
    return {name: jax.tree.map(lambda x, n=n: x[:, :n], streams[name]) for name, n in times.items() if n}

  def later(streams):
    rest = {name: n for name, n in times.items() if n < q[name].shape[1]}
    return {name: jax.tree.map(lambda x, n=n: x[:, n:], streams[name]) for name, n in rest.items()}

  if not later(q) or not earlier(q):
    return local(q, k, v, tokens, tokens)
  first = local(*map(earlier, (q, k, v, tokens, tokens)))
  then = local(later(q), k, v, later(tokens), tokens)
  return {name: jnp.concatenate([x[name] for x in (first, then) if name in x], 1) for name in q}


def _sharded(rule: Rule, backend: str, mesh, tokens: dict[str, Tokens]) -> Attention:
  """Attention over the tokens of a clip that are sharded over devices, for use inside `shard_map`."""
  if mesh.shape["ring"] > 1:
    if backend != "xla":
      raise UserError(
        f"model.attention={backend} does not support ring attention: set mesh.ulysses to mesh.context."
      )
    local = ring(exact(rule), "ring")
  else:
    count = mesh.shape["ulysses"]

    def part(i):
      return jax.tree.map(lambda x: x[:, :, i * x.shape[2] // count : (i + 1) * x.shape[2] // count], tokens)

    # The order of the tokens after the all-to-all: device by device.
    order = join({str(i): known(part(i)) for i in range(count)})
    local = BACKENDS[backend](rule, order, order)
  return ulysses(local, "ulysses") if mesh.shape["ulysses"] > 1 else local


def proportional_attention(
  q: Float[Array, "batch to heads width"],
  k: Float[Array, "batch from heads width"],
  v: Float[Array, "batch from heads width"],
  mask: Bool[Array, "batch #to from"],
  size: Float[Array, "batch from"],
) -> tuple[Float[Array, "batch to heads width"], Float[Array, "batch heads to from"]]:
  """Proportional attention: each key counts as `size` equal keys.

  softmax(q k / sqrt(width) + log size): Bolya et al., Token Merging, arXiv 2210.09461, eq. 1.
  If all sizes are 1 this is ordinary attention; keys of size 0 are masked.

  Returns:
    (attended values, attention probabilities [batch, heads, to, from]).
  """
  seen = mask & (size > 0)[:, None]
  out, _, p = softmax_attention(q, k, v, seen, jnp.log(jnp.where(size > 0, size, 1)))
  return out, p
