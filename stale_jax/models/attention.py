"""Attention: projections to queries, keys and values, and joint attention of all streams."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from stale_jax.errors import UserError
from stale_jax.mesh import MeshShape, constrain, current_mesh, parts, spec
from stale_jax.models.context_parallel import Attention, dense, ring, softmax_attention, ulysses
from stale_jax.models.lanes import Lane, split
from stale_jax.models.layers import linear, linear_parameters, rms_norm, rms_norm_parameters, rotate
from stale_jax.models.splash import splash
from stale_jax.models.visibility import EMOJI, Rule, Tokens, join

# The logical axes of queries, keys and values of a stream.
QKV_AXES = ("batch", None, "tokens", "heads", None)

# Stream -> (times, places).
Shapes = dict[str, tuple[int, int]]


def projection_parameters(width: int, heads: int, head_width: int):
  """Declares the parameters of `project` for a stream of that width."""
  return {
    "qkv": linear_parameters(width, 3 * heads * head_width, axes=("width", "heads"), orthogonal=True),
    "query_norm": rms_norm_parameters(head_width),
    "key_norm": rms_norm_parameters(head_width),
  }


def project(
  params, lanes: tuple[Lane, ...], entered: dict[str, Array], heads: int, head_width: int, dtype, order
) -> tuple[dict[str, Array], ...]:
  """Queries, keys and values before `turn`: stream -> [batch, time, place, heads, head_width].

  The three of a head lie together, so that a cut between heads cuts nothing else.

  Args:
    params: `{lane}_qkv`, `{lane}_query_norm` and `{lane}_key_norm`.
    lanes: of the clip.
    entered: lane -> [streams if several, batch, time, place, width].
    heads, head_width, dtype: of attention.
    order: the streams, in the order of the result.
  """

  def one(own, x):
    qkv = linear(own["qkv"], x, dtype)
    qkv = constrain(jnp.reshape(qkv, (*x.shape[:3], heads, 3, head_width)), *QKV_AXES[:4], None, None)
    q, k, v = (qkv[..., i, :] for i in range(3))
    return rms_norm(own["query_norm"], q, dtype), rms_norm(own["key_norm"], k, dtype), v

  parts = {}
  for lane in lanes:
    own = lane.parameters(params, "qkv", "query_norm", "key_norm")
    parts[lane.key] = lane.map(one)(own, entered[lane.key])
  return tuple(split(lanes, {key: part[i] for key, part in parts.items()}, order) for i in range(3))


def apply_rotary(
  streams: dict[str, Array], angles, faster: Float[np.ndarray, "heads half_width"] | None = None
) -> dict[str, Float[Array, "batch time place heads width"]]:
  """Queries or keys at their rotary positions; `angles`: stream -> [*batch, tokens, width/2].

  `faster`: by how much each pair of each head turns faster than `angles` say.
  """

  def one(x, a):
    a = jnp.reshape(a, (*a.shape[:-2], *x.shape[1:3], 1, a.shape[-1]))
    return rotate(x, a if faster is None else a * faster)

  return {name: one(x, angles[name]) for name, x in streams.items()}


def concat_streams(streams: dict[str, Array]) -> Float[Array, "batch tokens heads width"]:
  """All streams' tokens in turn."""
  return jnp.concatenate([jnp.reshape(x, (len(x), -1, *x.shape[3:])) for x in streams.values()], 1)


def split_streams(x: Float[Array, "batch tokens *rest"], shapes: Shapes) -> dict[str, Array]:
  """Undoes `together`: streams [batch, time, place, *rest], of these times and places."""
  ends = np.cumsum([time * place for time, place in shapes.values()])[:-1]
  cut = zip(shapes.items(), jnp.split(x, ends, 1), strict=True)
  return {name: jnp.reshape(part, (len(x), *shape, *x.shape[2:])) for (name, shape), part in cut}


def shapes_of(streams: dict[str, Array]) -> Shapes:
  """(time, place) of each stream [batch, time, place, ...]."""
  return {name: x.shape[1:3] for name, x in streams.items()}


def _cudnn(rule: Rule, _) -> Attention:
  return lambda q, k, v, of_q, of_k: (
    jax.nn.dot_product_attention(q, k, v, mask=rule(of_q, of_k)[:, None], implementation="cudnn"),
    None,
  )


# (rule, the tokens of the keys as far as they are known) -> attention to all of them.
BACKENDS = {"xla": lambda rule, _: dense(rule), "cudnn": _cudnn, "splash": splash}


def check_backend(backend: str, *, dtype: str, senses: int, joint: bool, mesh: MeshShape) -> None:
  """Refuses what the backend cannot do, before anything is traced.

  Args:
    backend: one of BACKENDS.
    dtype: of the computation.
    senses: how many the model has.
    joint: whether blocks attend jointly: no forms, no merged tokens.
    mesh: the model is trained on.

  Raises:
    UserError: it cannot be done; says what to set instead.
  """
  if backend == "xla":
    return
  name = f"model.attention={backend}"
  if not joint:
    raise UserError(f"{name} is for joint attention: leave model.forms and model.merge out, or set 'xla'.")
  if mesh.context != 1 and mesh.context != mesh.ulysses:
    raise UserError(f"{name} goes round no ring: set mesh.ulysses to mesh.context, {mesh.context}, or 'xla'.")
  if backend == "cudnn" and dtype == "float32":
    raise UserError(
      f"{name} takes no model.dtype=float32: set 'bfloat16' or 'float16', or model.attention='xla'."
    )
  if backend == "splash" and senses > 1:
    raise UserError(
      f"{name} is for models of one sense, and this has {senses}: others are denoised independently at "
      "times; set 'xla'."
    )


def check_cache(backend: str) -> None:
  """Raises UserError if the backend cannot attend to the keys and values of earlier frames."""
  if backend == "splash":
    raise UserError(
      "model.attention=splash needs as many keys as queries, and rollouts keep past ones: set 'xla'."
    )


def attend(
  q: dict[str, Array],
  k: dict[str, Array],
  v: dict[str, Array],
  tokens: dict[str, Tokens],
  backend: str = "xla",
  rule: Rule = Rule(),  # noqa: B008
  seen: dict[str, Tokens] | None = None,
) -> dict[str, Float[Array, "batch time place heads width"]]:
  """Joint attention of all streams under `rule`, cut along the mesh if there is one.

  Args:
    q, k, v: stream -> [batch, time, place, heads, width].
    tokens: stream -> [batch or 1, time, place].
    backend: one of BACKENDS: "xla" runs anywhere, "cudnn" on a GPU, "splash" on a TPU.
    rule: who sees whom.
    seen: as `tokens`, of the keys, where there are more of these than of queries; else the same.

  Raises:
    UserError: `backend` cannot do that.
  """
  if seen is not None:
    check_cache(backend)
  mesh = current_mesh()
  # What comes out of control flow is in another order.
  q, k, v = ({name: x[name] for name in tokens} for x in (q, k, v))
  if mesh is None or (backend == "xla" and parts(mesh, "tokens") == 1):

    def local(q, k, v, of_q, of_k):
      of_q, of_k = join(of_q), join(of_k)
      inner = BACKENDS[backend](rule, of_k)
      return split_streams(
        inner(concat_streams(q), concat_streams(k), concat_streams(v), of_q, of_k)[0], shapes_of(q)
      )

    if seen is None and rule.causal and backend == "xla":
      return _by_halves(local, q, k, v, tokens)
    return local(q, k, v, tokens, tokens if seen is None else seen)
  if seen is not None:
    raise UserError("keys of other frames are for a mesh that cuts no clip: set mesh.context to 1.")

  # Each device has its part of the places of every stream. Where they do not divide, some are of no clip.
  ways = parts(mesh, "tokens")
  whole = {name: x.shape[2] for name, x in q.items()}

  def padded(x):
    missing = -x.shape[2] % ways
    if not missing:
      return x
    np_or_jnp = np if isinstance(x, np.ndarray) else jnp
    return np_or_jnp.pad(x, ((0, 0), (0, 0), (0, missing), *((0, 0),) * (x.ndim - 3)))

  q, k, v, tokens = jax.tree.map(padded, (q, k, v, tokens))
  inner = _spread(rule, backend, mesh, tokens)

  def local(q, k, v, tokens):
    of = join(tokens, len(next(iter(q.values()))))
    return split_streams(
      inner(concat_streams(q), concat_streams(k), concat_streams(v), of, of)[0], shapes_of(q)
    )

  laid = jax.tree.map(lambda x: spec(mesh, x.shape, QKV_AXES), q)
  lists = jax.tree.map(lambda x: spec(mesh, x.shape, QKV_AXES[:3]), tokens)
  spread = jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(laid, laid, laid, lists),
    out_specs=laid,
    check_vma=backend == "xla",  # A kernel does not say along which axes its answer varies.
  )
  return {name: x[:, :, : whole[name]] for name, x in spread(q, k, v, tokens).items()}


def _by_halves(local, q, k, v, tokens: dict[str, Tokens]) -> dict[str, Array]:
  """Causal attention: the earlier half of the frames to itself, then the later half to all.

  The quarter of all pairs in which a frame would ask for a later one is never looked at.
  """
  middle = max(int(of.frame.max()) for of in tokens.values()) // 2
  # So many times of each stream are earlier; the emoji, which is of no time, sees all.
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


def _spread(rule: Rule, backend: str, mesh, tokens: dict[str, Tokens]) -> Attention:
  """Attention to all the tokens of a clip, of which each device has its part; for inside `shard_map`."""
  if mesh.shape["ring"] > 1:
    if backend != "xla":
      raise UserError(f"model.attention={backend} goes round no ring: set mesh.ulysses to mesh.context.")
    local = ring(dense(rule), "ring")
  else:
    count = mesh.shape["ulysses"]

    def part(i):
      return jax.tree.map(lambda x: x[:, :, i * x.shape[2] // count : (i + 1) * x.shape[2] // count], tokens)

    # In the order in which an all-to-all brings them together.
    order = join({str(i): join(part(i)) for i in range(count)})
    local = BACKENDS[backend](rule, order)
  return ulysses(local, "ulysses") if mesh.shape["ulysses"] > 1 else local


def proportional_attention(
  q: Float[Array, "batch to heads width"],
  k: Float[Array, "batch from heads width"],
  v: Float[Array, "batch from heads width"],
  mask: Bool[Array, "batch #to from"],
  size: Float[Array, "batch from"],
) -> tuple[Float[Array, "batch to heads width"], Float[Array, "batch heads to from"]]:
  """Attention to tokens each of which stands for `size` equal ones, and its probabilities.

  softmax(q k / sqrt(width) + log size): Bolya et al., Token Merging, arXiv 2210.09461, eq. 1.
  Where all sizes are 1 it is ordinary attention; a size of 0 is a token that is not there.
  """
  seen = mask & (size > 0)[:, None]
  out, _, p = softmax_attention(q, k, v, seen, jnp.log(jnp.where(size > 0, size, 1)))
  return out, p
