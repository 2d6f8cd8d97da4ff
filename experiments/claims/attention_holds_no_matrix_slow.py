"""No program of a long clip holds an array of tokens x tokens, nor a captured constant above a megabyte.

Two blocks as wide as those of configs/stale_1b.py, with 32,760 (480p) and 75,600 (720p) tokens of sight, and
with touch and sound. The programs are the gradient of a loss, the denoiser of a guided sampler, and a step of
a causal rollout with a full KV cache; causal and not; for the backends `xla`, `splash` and `cudnn`; in
bfloat16 and float32; with padding, dropped tokens, and examples with independent senses. Programs for cuDNN
are also lowered for CUDA. Gradients with `splash` and `xla` are compiled for a TPU v5p.

Value: the largest intermediate array of the jaxprs, in elements per clip, token and unit of width; bar 8. (In
these units the pairs of one head are 16 at 480p and 37 at 720p.) It holds if, in addition, no constant in a
jaxpr is larger than 1 MB and no array in a compiled program exceeds the bar.
"""

BAR, CONSTANT = 8.0, 10**6
GRIDS = {"480p": (60, 104), "720p": (90, 160)}
WIDTH, HEADS, FRAMES, CHUNK = 2048, 16, 21, 3


def measure(seed: int) -> dict:
  from experiments.tpu import without_tpu

  without_tpu()
  import jax

  from stale_jax.planning.cudnn import pretend_cudnn
  from stale_jax.testing.programs import largest_constant, largest_intermediate

  del seed  # Nothing is random: programs are traced, not run.
  worst, constant = 0.0, 0
  with pretend_cudnn():
    for grid, (height, width) in GRIDS.items():
      elements = FRAMES * height * width // 4 * WIDTH
      for backend in ("xla", "splash", "cudnn"):
        for dtype in ("bfloat16", "float32"):
          for name, (clips, run, arguments) in _programs(grid, backend, dtype).items():
            traced = jax.jit(run).trace(*arguments)
            if backend == "cudnn":
              traced.lower(lowering_platforms=("cuda",))
            size = largest_intermediate(traced.jaxpr) / (clips * elements)
            captured = largest_constant(traced.jaxpr)
            worst, constant = max(worst, size), max(constant, captured)
            print(
              f"{grid} {backend} {dtype} {name}: {size:.2f}, constants to {captured / 1e6:.2f} MB", flush=True
            )
  compiled = {
    f"{grid} {backend} {name}": _compiled(grid, backend, name)
    for grid in GRIDS
    for backend in ("splash", "xla")
    for name in ("training", "causal training")
  }
  return {
    "value": worst,
    "bar": BAR,
    "holds": worst <= BAR and constant <= CONSTANT and max(compiled.values()) <= BAR,
    "largest_constant_bytes": constant,
    "compiled": compiled,
  }


def _programs(grid: str, backend: str, dtype: str) -> dict:
  """Name -> (clips in a batch, function, shapes of its arguments)."""
  import jax
  import jax.numpy as jnp

  from stale_jax.clip import Context, Sense
  from stale_jax.models import Transformer
  from stale_jax.models.kv_cache import empty_cache

  sizes = {"sight": ((*GRIDS[grid], 16), (1, 2, 2)), "touch": ((4,), (1,)), "sound": ((64,), (1,))}
  senses = tuple(
    Sense(name=name, shape=shape, rate=4, patch=patch, channels=tuple(map(str, range(shape[-1]))))
    for name, (shape, patch) in sizes.items()
  )
  settings = {
    "text_width": 512,
    "side_width": 64,
    "condition_width": 512,
    "text_length": 512,
    "remat": "full",
  }

  def network(causal: bool, scan: bool = True):
    return Transformer(
      senses=senses,
      width=WIDTH,
      depth=2,
      heads=HEADS,
      attention=backend,
      dtype=dtype,
      causal=causal,
      token_drop=0.1,
      scan=scan,
      **settings,
    )

  def inputs(clips: int, frames: int):
    def array(shape, kind=jnp.float32):
      return jax.ShapeDtypeStruct((clips, *shape), kind)

    clip = {sense.name: array((frames, *sense.shape)) for sense in senses}
    valid = {sense.name: array((frames,), bool) for sense in senses}
    context = Context(text=array((512,), jnp.int32), valid=valid, independent_senses=array((), bool))
    return clip, array((frames,)), context

  key = jax.eval_shape(lambda: jax.random.key(0))
  params = jax.eval_shape(network(False).init, key)

  def gradient(causal: bool):
    def loss(params, clip, t, context, key):
      out = network(causal).apply(params, clip, t, context, rngs={"perturb": key})
      return sum(jnp.sum(jnp.square(x)) for x in out.values())

    return jax.grad(loss)

  causal = network(True, scan=False)

  def read(params, clip, t, context, cache=None):
    out, sown = causal.apply(params, clip, t, context, cache, mutable=["kv"])
    return out, tuple({b: kinds[kind][0] for b, kinds in sown["kv"].items()} for kind in ("keys", "values"))

  chunk = inputs(2, CHUNK)
  new = jax.eval_shape(read, params, *chunk)[1]
  cache = jax.eval_shape(lambda: empty_cache(new, {sense.name: 1 for sense in senses}, FRAMES - CHUNK))
  return {
    "training": (1, gradient(False), (params, *inputs(1, FRAMES), key)),
    "causal training": (1, gradient(True), (params, *inputs(1, FRAMES), key)),
    "sampling": (2, network(False).apply, (params, *inputs(2, FRAMES))),
    "rollout": (2, read, (params, *chunk, cache)),
  }


def _compiled(grid: str, backend: str, name: str, topology: str = "v5p:2x2x1") -> float:
  """The largest array of a program compiled for one device, in elements per clip, token and unit of width."""
  import math

  import jax
  from jax.sharding import SingleDeviceSharding

  from stale_jax.compilation import compiler_options
  from stale_jax.planning.compiled import compile_or_size
  from stale_jax.planning.hlo import Program
  from stale_jax.planning.topology import topology_devices

  clips, run, arguments = _programs(grid, backend, "bfloat16")[name]
  sharding = SingleDeviceSharding(topology_devices(topology)[0])
  arguments = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), arguments)
  options = compiler_options(next(iter(sharding.device_set)).platform)
  program = compile_or_size(jax.jit(run, out_shardings=sharding, compiler_options=options).lower(*arguments))
  if isinstance(program, float):
    print(f"{grid} {backend} {name}: needs {program / 2**30:.1f} GiB", flush=True)
    return float("inf")
  arrays = (array for _, one, _ in Program(program.as_text()).walk() for array in one.arrays)
  size = max(math.prod(array.shape) for array in arrays)
  return size / (clips * FRAMES * GRIDS[grid][0] * GRIDS[grid][1] // 4 * WIDTH)
