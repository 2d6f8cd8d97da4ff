"""Descriptions of GPUs for XLA, which compiles programs for them on a machine without a GPU.

NVIDIA's `deviceQuery` reports the numbers. Most of them are also in the repository of XLA (openxla/xla), in
the folder xla/backends/gpu/target_config/specs. Without a GPU, the compiler cannot time kernels. It therefore
uses default tilings.
"""

import dataclasses

from stale_jax.planning.chips import CHIPS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
  """What the compiler must know of a GPU.

  Attributes:
    name: name that JAX gives as `device_kind`.
    capability: compute capability.
    cores: streaming multiprocessors.
    units: float32 units of a multiprocessor.
    threads: most resident threads of a multiprocessor.
    shared, shared_per_block: bytes of shared memory of a multiprocessor, and most of a block.
    cache: bytes of the L2 cache.
    gigahertz: clock rate.
  """

  name: str
  capability: tuple[int, int]
  cores: int
  units: int = 128
  threads: int = 2048
  shared: int = 233_472
  shared_per_block: int = 232_448
  cache: int = 50 * 2**20
  gigahertz: float = 1.98


GPUS = {
  "a100": Gpu(
    name="NVIDIA A100-SXM4-80GB",
    capability=(8, 0),
    cores=108,
    units=64,
    shared=167_936,
    shared_per_block=166_912,
    cache=40 * 2**20,
    gigahertz=1.41,
  ),
  "h100": Gpu(name="NVIDIA H100 80GB HBM3", capability=(9, 0), cores=132),
  "h200": Gpu(name="NVIDIA H200", capability=(9, 0), cores=132),
  "l4": Gpu(
    name="NVIDIA L4",
    capability=(8, 9),
    cores=58,
    threads=1536,
    shared=102_400,
    shared_per_block=101_376,
    cache=48 * 2**20,
    gigahertz=2.04,
  ),
}


def target_config(name: str) -> str:
  """The GPU `name`, a key of GPUS, as text of XLA's protocol buffer `GpuTargetConfigProto`."""
  gpu, chip = GPUS[name], CHIPS[name]
  major, minor = gpu.capability
  facts = {
    "threads_per_block_limit": 1024,
    "threads_per_warp": 32,
    "shared_memory_per_block": 49_152,
    "shared_memory_per_core": gpu.shared,
    "shared_memory_per_block_optin": gpu.shared_per_block,
    "threads_per_core_limit": gpu.threads,
    "core_count": gpu.cores,
    "fpus_per_core": gpu.units,
    "block_dim_limit_x": 2**31 - 1,
    "block_dim_limit_y": 2**16 - 1,
    "block_dim_limit_z": 2**16 - 1,
    "memory_bandwidth": int(chip.bandwidth),
    "l2_cache_size": gpu.cache,
    "clock_rate_ghz": gpu.gigahertz,
    "device_memory_size": int(chip.memory),
    "registers_per_core_limit": 65_536,
    "registers_per_block_limit": 65_536,
  }
  info = "\n".join(f"  {key}: {value}" for key, value in facts.items())
  return f"""\
gpu_device_info {{
{info}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 12 patch: 0 }}
device_description_str: "{gpu.name}"
"""
