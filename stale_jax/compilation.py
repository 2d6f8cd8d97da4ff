"""Compilation: options, a cache on disk, and batches of equal size, so that few programs are compiled."""

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from stale_jax.files import cache_folder
from stale_jax.mesh import mesh_of, on_mesh, replicated

_LEVEL = "xla_backend_optimization_level"
_TRITON = "xla_gpu_enable_triton_gemm"
_DETERMINISTIC = "xla_gpu_exclude_nondeterministic_ops"


def keep_compiled() -> str:
  """Turns on JAX's persistent compilation cache, unless the user or the environment has set its folder.

  Returns:
    The folder.
  """
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    if jax.default_backend() != "gpu":
      # Otherwise XLA also writes caches of what it has tuned for GPUs, which are never read elsewhere.
      jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
  return jax.config.jax_compilation_cache_dir


def compiler_options(platform: str | None = None, *, deterministic: bool = False) -> dict[str, int | bool]:
  """Options of `jax.jit` for a program.

  On the CPU, LLVM's optimization level is 1. With XLA's default, level 3, compilation takes 50% longer,
  training steps are not faster, and sampling is about 5% faster.

  On a GPU, cuBLAS computes matrix products. By default, XLA would compile and time many kernels by Triton for
  each product. On an H200, an older version of the step of a model with 1.3 billion parameters was then not
  compiled after two minutes, while a fifth of its blocks compiled in 18 seconds with cuBLAS. On a machine
  without a GPU, where nothing is timed, the step of the model of digits compiles in 20 seconds instead of 26.

  An option in XLA_FLAGS has precedence.

  Args:
    platform: "cpu", "gpu" or "tpu"; default: the default backend.
    deterministic: whether the program must return the same bits each time also on a GPU, where sums would
      otherwise depend on the order in which threads finish, and kernels on what was fastest when compiled.
  """
  platform = platform or jax.default_backend()
  options = {"cpu": {_LEVEL: 1}}.get(platform, {})
  if platform in ("gpu", "cuda"):
    options = {_TRITON: False, **({_DETERMINISTIC: True} if deterministic else {})}
  return {name: value for name, value in options.items() if name not in os.environ.get("XLA_FLAGS", "")}


class OnMesh:
  """`jax.jit` of a function, which runs on the mesh of its arguments.

  If an argument is sharded over a mesh of several devices, as the parameters of a model may be, the function
  is traced with this mesh as the current one (`mesh.current_mesh`), and arguments that are not on the mesh
  are copied to all of its devices. Use `mesh.on_host` to fetch results.

  Args:
    function: the function.
    options: further arguments of `jax.jit`.
  """

  def __init__(self, function: Callable, **options: Any):
    self._function, self._options = function, options
    self._jitted = functools.cache(self._jit)

  def _jit(self, mesh: Mesh | None) -> Callable:
    function = self._function if mesh is None else on_mesh(mesh, self._function)
    return jax.jit(function, compiler_options=compiler_options(), **self._options)

  def __call__(self, *arguments: Any) -> Any:
    mesh = mesh_of(arguments)
    return self._jitted(mesh)(*(arguments if mesh is None else replicated(mesh, arguments)))

  def clear_cache(self) -> None:
    """Forgets the compiled programs."""
    self._jitted.cache_clear()

  def eval_shape(self, *arguments: Any) -> Any:
    """Shapes of the results."""
    return self._jitted(None).eval_shape(*arguments)


@functools.cache
def compiled(method: Callable) -> OnMesh:
  """`OnMesh` of a method with a static `self`: equal objects share one compiled program."""
  return OnMesh(method, static_argnums=0)


def batches(count: int, size: int) -> Iterator[Int[np.ndarray, "size"]]:
  """Indices of `count` rows, `size` at a time; the last row pads the last batch to the same size."""
  for start in range(0, count, size):
    yield np.minimum(np.arange(start, start + size), count - 1)
