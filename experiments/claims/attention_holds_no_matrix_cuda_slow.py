"""No program of a long clip that is compiled for an H100 holds an array of tokens x tokens.

The programs of `attention_holds_no_matrix_slow` for cuDNN in bfloat16, compiled by XLA for CUDA, which needs
JAX's plugin for CUDA (pip install '.[cuda]') and no GPU. Kernels of cuDNN are calls; XLA's own arrays count.

Value: the largest array of a compiled program, in elements per clip, token and unit of width; bar 8.
"""


def measure(seed: int) -> dict:
  from experiments.tpu import without_tpu

  without_tpu("h100:1")
  from experiments.claims.attention_holds_no_matrix_slow import BAR, GRIDS, _compiled, _programs
  from stale_jax.planning.cudnn import pretend_cudnn

  del seed  # Nothing is random: programs are compiled, not run.
  compiled = {}
  with pretend_cudnn():
    for grid in GRIDS:
      for name in _programs(grid, "cudnn", "bfloat16"):
        compiled[f"{grid} {name}"] = _compiled(grid, "cudnn", name, "h100:1")
        print(f"{grid} {name}: {compiled[f'{grid} {name}']:.2f}", flush=True)
  worst = max(compiled.values())
  return {"value": worst, "bar": BAR, "holds": worst <= BAR, "compiled": compiled}
