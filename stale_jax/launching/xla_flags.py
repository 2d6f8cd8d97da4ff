"""Flags of the TPU compiler for each generation.

Flags of another generation may make programs slower, or be unknown to the compiler.

The flags are passed in LIBTPU_INIT_ARGS. XLA_FLAGS is only for flags of OpenXLA itself: a process with a flag
of libtpu in XLA_FLAGS fails ("Unknown flag in XLA_FLAGS"). None of the flags has been measured with this
package: they are the ones that the sources use for large transformers. libtpu 0.0.42 accepts all of them, and
compiles a sharded product ahead of time with each set.
"""

import dataclasses
from collections.abc import Mapping

_MAXTEXT = "https://github.com/AI-Hypercomputer/maxtext/blob/main/"
_FLAGS_TABLE = _MAXTEXT + "src/maxtext/configs/README.md#xla-flags-used-by-maxtext"
_FLAGS_LIBRARY = _MAXTEXT + "benchmarks/xla_flags_library.py"
_TUNING = _MAXTEXT + "docs/guides/optimization/benchmark_and_performance.md"


@dataclasses.dataclass(frozen=True)
class Flag:
  """The effect of a flag, and the page that documents it."""

  does: str
  source: str


@dataclasses.dataclass(frozen=True)
class FlagSet:
  """The flags of one generation, and the page that uses them together."""

  values: Mapping[str, str]
  source: str


FLAGS = {
  "xla_tpu_enable_data_parallel_all_reduce_opt": Flag(
    "overlaps the gradients' all-reduce between slices with compute", _FLAGS_TABLE
  ),
  "xla_tpu_data_parallel_opt_different_sized_ops": Flag(
    "pipelines data-parallel collectives over iterations even if sizes differ; takes memory", _FLAGS_TABLE
  ),
  "xla_tpu_enable_async_collective_fusion": Flag(
    "fuses collectives with the compute between their start and end", _FLAGS_TABLE
  ),
  "xla_tpu_enable_async_collective_fusion_fuse_all_gather": Flag(
    "extends async collective fusion to all-gathers", _FLAGS_TABLE
  ),
  "xla_tpu_enable_async_collective_fusion_fuse_all_reduce": Flag(
    "extends async collective fusion to all-reduces; not together with SparseCore", _FLAGS_LIBRARY
  ),
  "xla_tpu_enable_async_collective_fusion_fuse_reduce_scatter": Flag(
    "extends async collective fusion to reduce-scatters; not together with SparseCore", _FLAGS_LIBRARY
  ),
  "xla_tpu_enable_async_collective_fusion_multiple_steps": Flag(
    "lets one async collective span several fusions", _FLAGS_TABLE
  ),
  "xla_tpu_overlap_compute_collective_tc": Flag(
    "overlaps compute and communication on one TensorCore", _FLAGS_TABLE
  ),
  "xla_enable_async_all_gather": Flag("makes all-gathers asynchronous", _FLAGS_TABLE),
  "xla_enable_async_collective_permute": Flag("makes collective-permutes asynchronous", _FLAGS_TABLE),
  "xla_tpu_megacore_fusion_allow_ags": Flag(
    "fuses all-gathers with convolutions and all-reduces on the chip's two cores", _FLAGS_TABLE
  ),
  "xla_tpu_enable_ag_backward_pipelining": Flag(
    "pipelines all-gathers between slices backwards through scanned layers", _FLAGS_TABLE
  ),
  "xla_tpu_scoped_vmem_limit_kib": Flag(
    "KiB of on-chip memory (VMEM) for the running op; the rest holds prefetched data", _FLAGS_LIBRARY
  ),
  "xla_tpu_enable_sparse_core_collective_offload_all_gather": Flag(
    "runs all-gathers on the SparseCores", _FLAGS_LIBRARY
  ),
  "xla_tpu_enable_sparse_core_collective_offload_reduce_scatter": Flag(
    "runs reduce-scatters on the SparseCores", _FLAGS_LIBRARY
  ),
  "xla_tpu_enable_sparse_core_collective_offload_all_reduce": Flag(
    "runs all-reduces on the SparseCores", _FLAGS_LIBRARY
  ),
  "xla_tpu_use_tc_device_shape_on_sc": Flag("a base flag for collectives on the SparseCores", _FLAGS_LIBRARY),
  "xla_sc_enable_instruction_fusion": Flag("a base flag for collectives on the SparseCores", _FLAGS_LIBRARY),
  "xla_sc_disjoint_spmem": Flag("a base flag for collectives on the SparseCores", _FLAGS_LIBRARY),
  "xla_sc_disable_megacore_partitioning": Flag(
    "a base flag for collectives on the SparseCores", _FLAGS_LIBRARY
  ),
}

_DATA_PARALLEL = {
  "xla_tpu_enable_data_parallel_all_reduce_opt": "true",
  "xla_tpu_data_parallel_opt_different_sized_ops": "true",
}
_FUSED_ALL_GATHER = {
  "xla_tpu_enable_async_collective_fusion": "true",
  "xla_tpu_enable_async_collective_fusion_fuse_all_gather": "true",
  "xla_tpu_enable_async_collective_fusion_multiple_steps": "true",
  "xla_tpu_overlap_compute_collective_tc": "true",
  "xla_enable_async_all_gather": "true",
}

SETS = {
  "v5e": FlagSet(
    {**_DATA_PARALLEL, **_FUSED_ALL_GATHER},
    _MAXTEXT + "src/maxtext/configs/tpu/v5e/16b.sh",
  ),
  "v5p": FlagSet(
    {
      **_DATA_PARALLEL,
      **_FUSED_ALL_GATHER,
      "xla_tpu_megacore_fusion_allow_ags": "false",
      "xla_enable_async_collective_permute": "true",
      "xla_tpu_enable_ag_backward_pipelining": "true",
    },
    _MAXTEXT + "src/maxtext/configs/tpu/v5p/128b.sh",
  ),
  "v6e": FlagSet(
    {**_DATA_PARALLEL, **_FUSED_ALL_GATHER, "xla_tpu_scoped_vmem_limit_kib": "98304"},
    _MAXTEXT + "src/maxtext/configs/tpu/v6e/gpt3_175b.sh",
  ),
  # Collectives run on the SparseCores, so they cannot also be fused with computation.
  "tpu7x": FlagSet(
    {
      "xla_tpu_enable_async_collective_fusion_fuse_all_gather": "false",
      "xla_tpu_enable_async_collective_fusion_fuse_all_reduce": "false",
      "xla_tpu_enable_async_collective_fusion_fuse_reduce_scatter": "false",
      "xla_tpu_enable_sparse_core_collective_offload_all_gather": "true",
      "xla_tpu_enable_sparse_core_collective_offload_reduce_scatter": "true",
      "xla_tpu_enable_sparse_core_collective_offload_all_reduce": "true",
      "xla_tpu_use_tc_device_shape_on_sc": "true",
      "xla_sc_enable_instruction_fusion": "false",
      "xla_sc_disjoint_spmem": "false",
      "xla_sc_disable_megacore_partitioning": "true",
    },
    _TUNING,
  ),
}


def libtpu_init_args(generation: str) -> str:
  """The value of LIBTPU_INIT_ARGS for a generation, a key of SETS."""
  return " ".join(f"--{name}={value}" for name, value in SETS[generation].values.items())
