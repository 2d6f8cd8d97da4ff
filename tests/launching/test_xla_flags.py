"""The table of compiler flags: each has a source, and no generation has another's set."""

import pytest

from stale_jax.launching.topology import GENERATIONS
from stale_jax.launching.xla_flags import FLAGS, SETS, libtpu_init_args


def test_every_flag_says_what_it_does_and_where_that_is_said():
  used = {name for flags in SETS.values() for name in flags.values}
  assert used == set(FLAGS)
  for flag in FLAGS.values():
    assert flag.does and flag.source.startswith("https://")


def test_every_generation_has_a_set_of_its_own():
  assert set(SETS) == set(GENERATIONS)
  assert all(flags.source.startswith("https://") for flags in SETS.values())
  assert len({libtpu_init_args(generation) for generation in SETS}) == len(SETS)


@pytest.mark.parametrize("generation", SETS)
def test_they_are_options_of_libtpu(generation):
  for option in libtpu_init_args(generation).split(" "):
    name, value = option.split("=")
    assert name.startswith("--xla_") and name[2:] in FLAGS and value


def test_collectives_are_either_fused_or_on_the_sparse_cores():
  for flags in SETS.values():
    for collective in ("all_gather", "all_reduce", "reduce_scatter"):
      fused = flags.values.get(f"xla_tpu_enable_async_collective_fusion_fuse_{collective}") == "true"
      offloaded = flags.values.get(f"xla_tpu_enable_sparse_core_collective_offload_{collective}") == "true"
      assert not (fused and offloaded)
