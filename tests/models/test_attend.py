"""Every backend of joint attention, on one device or on a mesh, equals dense attention in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.flops import count
from stale_jax.mesh import MeshShape, on_mesh
from stale_jax.models import attention
from stale_jax.models.attention import (
  attend,
  check_backend,
  concat_streams,
  shapes_of,
  split_streams,
)
from stale_jax.models.visibility import EMOJI, TEXT, Rule, join, stream_tokens
from tests import micro
from tests.devices import on_devices

RULES = {
  "full": Rule(),
  "causal": Rule(causal=True),
  "causal window with sinks": Rule(causal=True, window=2, sinks=1),
}
BATCH, HEADS, WIDTH = 2, 4, 8
# Stream -> (number, time steps, places). No device count divides 5 places or 1 place.
STREAMS = {"text": (TEXT, 1, 8), "sight": (1, 6, 5), "sound": (2, 6, 1)}


def streams(independent_senses=None, emoji=True):
  """Tokens of every stream; in the first example some text and frames are padding."""
  out = {}
  for name, (number, time, place) in STREAMS.items():
    real = np.ones((BATCH, time, place), bool)
    real[0, -1, -3:] = name == "sound"
    out[name] = stream_tokens(
      jnp.asarray(real), number, np.arange(time) if number else -1, independent_senses
    )
  return out | ({"emoji": stream_tokens(jnp.ones((BATCH, 1, 1), bool), EMOJI)} if emoji else {})


def arrays(tokens):
  """Queries, keys, values and a cotangent of the output."""
  rng = np.random.default_rng(0)
  shapes = {name: (*of.real.shape, HEADS, WIDTH) for name, of in tokens.items()}
  return [{name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in range(4)]


def pulled(attention, q, k, v, weight):
  """The output and the gradients of its inner product with `weight`."""
  out, pull = jax.vjp(attention, q, k, v)
  return out, *pull(weight)


def reference(rule, tokens, given):
  """Dense attention in float64, and its gradients."""
  everyone = join(tokens, BATCH)

  def dense(q, k, v):
    flat_q, flat_k, flat_v = (concat_streams({name: x[name] for name in tokens}) for x in (q, k, v))
    logits = jnp.einsum("bqhd,bkhd->bhqk", flat_q, flat_k) / np.sqrt(WIDTH)
    p = jax.nn.softmax(jnp.where(rule(everyone, everyone)[:, None], logits, -jnp.inf), -1)
    return split_streams(
      jnp.einsum("bhqk,bkhd->bqhd", p, flat_v), shapes_of({name: q[name] for name in tokens})
    )

  with jax.enable_x64(True):
    return jax.device_get(pulled(dense, *jax.tree.map(jnp.asarray, given)))


def check(rule, backend, tokens, mesh=None, atol=2e-5):
  given = arrays(tokens)

  def attention(q, k, v):
    return attend(q, k, v, tokens, backend, rule)

  def run(*given):
    return pulled(attention, *given)

  ours = jax.tree.map(jnp.float32, given)
  if mesh is None:
    got = jax.jit(run)(*ours)
  else:
    got = jax.jit(on_mesh(mesh, run))(*jax.device_put(ours, NamedSharding(mesh, PartitionSpec())))
  want = reference(rule, tokens, given)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol * max(1, np.abs(b).max())), got, want)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("backend", ["xla", "splash", "unfused"])
def test_it_is_the_dense_one(backend, name):
  check(RULES[name], backend, streams())
  check(RULES[name], backend, streams(independent_senses=jnp.array([True, False])))


@pytest.mark.parametrize("emoji", [False, True])
def test_causal_attention_never_asks_the_earlier_half_for_the_later(emoji):
  tokens = streams(emoji=emoji)
  q, k, v, _ = arrays(tokens)

  def operations(rule):
    return count(lambda q, k, v: attend(q, k, v, tokens, rule=rule), q, k, v)

  # The earlier half is three of six time steps and the caption: 26 of 44 tokens, without the emoji.
  every, early = 44 + emoji, 26
  pairs = early * early + (every - early) * every
  assert operations(Rule(causal=True)) / operations(Rule()) == pytest.approx(pairs / every**2)


MESHES = {
  "ring": {"context": 8},
  "ring, heads cut": {"data": 2, "tensor": 2, "context": 2},
  "heads swapped": {"data": 2, "context": 4, "ulysses": 4},
  "both": {"data": 1, "tensor": 2, "context": 4, "ulysses": 2},
}


@pytest.mark.parametrize("name", MESHES)
@on_devices(8)
def test_cut_along_a_mesh_it_is_the_dense_one(name):
  mesh = MeshShape(**MESHES[name]).build()
  for rule in RULES.values():
    check(rule, "xla", streams(independent_senses=jnp.array([True, False])), mesh)


@on_devices(8)
def test_the_kernel_takes_all_tokens_of_its_heads_in_the_order_they_come():
  mesh = MeshShape(data=2, fsdp=1, tensor=2, context=2, ulysses=2).build()
  for name in ("full", "causal window with sinks"):
    check(RULES[name], "splash", streams(independent_senses=jnp.array([True, False])), mesh)


@on_devices(2)
def test_a_kernel_goes_round_no_ring():
  with pytest.raises(UserError, match="set mesh.ulysses to mesh.context"):
    check(Rule(), "splash", streams(), MeshShape(context=2).build())


ALONE = {"head_width": 64, "joint": True, "mesh": MeshShape()}


@pytest.mark.parametrize(
  ("backend", "fields", "words"),
  [
    ("splash", {"joint": False}, "leave model.forms and model.merge out"),
    ("splash", {"mesh": MeshShape(context=4, ulysses=2)}, "set mesh.ulysses to mesh.context, 4"),
    ("cudnn", {"mesh": MeshShape(context=2)}, "set mesh.ulysses to mesh.context, 2"),
    ("cudnn", {"head_width": 160}, "at most 128 features, and model.width / model.heads is 160"),
  ],
)
def test_what_a_backend_cannot_do_is_refused_before_it_is_traced(backend, fields, words):
  check_backend(backend, **ALONE)
  with pytest.raises(UserError, match=words):
    check_backend(backend, **{**ALONE, **fields})
  check_backend("xla", **{**ALONE, **fields})


def test_a_config_is_refused_when_it_is_built():
  with pytest.raises(UserError, match="leave model.forms and model.merge out"):
    build(micro.config(model__attention="splash", model__forms="dense"))


def test_merging_is_refused_for_long_clips():
  fields = {"model__merge": True, "model__turns": 2, "model__depth": 2, "source__patch": 1}
  build(micro.config(**fields))
  with pytest.raises(UserError, match="more than 4096: set model.merge=False"):
    build(micro.config(source__canvas=36, source__frames=52, **fields))


@pytest.mark.parametrize(
  ("kind", "keys", "width", "dtype", "want"),
  [
    ("cpu", 9000, 64, "bfloat16", "xla"),
    ("TPU v5p", 2048, 64, "float32", "xla"),
    ("TPU v5p", 2049, 64, "float32", "splash"),
    ("NVIDIA H200", 2049, 64, "bfloat16", "cudnn"),
    ("NVIDIA H200", 2049, 64, "float32", "xla"),
    ("NVIDIA H200", 2049, 160, "float16", "xla"),
  ],
)
def test_auto_is_the_kernel_of_the_device(monkeypatch, kind, keys, width, dtype, want):
  monkeypatch.setattr(attention, "device_kind", lambda: kind)
  assert attention._chosen(keys, width, dtype, None) == want
