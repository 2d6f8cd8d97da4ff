"""Plans for GPUs: what the compiler is told, switches, products by cuBLAS, a small one by XLA for CUDA."""

import importlib.util
import json
import re

import pytest

from stale_jax.errors import UserError
from stale_jax.flops import PEAK
from stale_jax.launching.topology import GPUS as LAUNCHED
from stale_jax.planning.chips import CHIPS, chip_of
from stale_jax.planning.collectives import Collective
from stale_jax.planning.gpu import GPUS, target_config
from stale_jax.planning.hlo import Program
from stale_jax.planning.roofline import roofline
from tests.planning.test_plan import SMALL
from tests.programs import finish

H100 = CHIPS["h100"]
HAS_CUDA = any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13))


def test_every_gpu_has_a_description_and_a_peak():
  assert set(GPUS) == set(LAUNCHED) == {name for name, chip in CHIPS.items() if chip.is_gpu}
  for name in GPUS:
    chip, text = CHIPS[name], target_config(name)
    assert chip.flops == PEAK[chip.kind] and chip.kind in GPUS[name].name
    assert f"device_memory_size: {int(chip.memory)}" in text and text.count("{") == text.count("}")
    assert 0.9 * chip.memory < chip.available < chip.memory


def test_topologies_are_machines():
  assert chip_of("h100:8") is H100 and chip_of("l4:1") is CHIPS["l4"]
  for name, words in (("h100:16", "h100:"), ("h100:2x4", "h100:"), ("h100", "h100:"), ("h10:8", "h100:8")):
    with pytest.raises(UserError, match=re.escape(words)):
      chip_of(name)


def test_a_switch_has_no_detours():
  # 450 GB/s in one direction; between machines 50 GB/s for each GPU.
  swap = Collective("all-to-all", ("ulysses",), 8, False, 1, 45e9)
  far = Collective("all-reduce", ("data",), 4, True, 1, 50e9)
  seconds = roofline(H100, 989e12, 0.0, [swap, far])
  assert seconds.flops == pytest.approx(1) and seconds.dcn == pytest.approx(1)
  assert seconds.exposed == pytest.approx(0.1)


def test_products_by_cublas_are_counted():
  text = """\
ENTRY %main (x: bf16[512,2048], y: bf16[2048,256]) -> bf16[512,256] {
  %x = bf16[512,2048]{1,0} parameter(0)
  %y = bf16[2048,256]{1,0} parameter(1)
  %call = (bf16[512,256]{1,0}, s8[4194304]{0}) custom-call(%x, %y), custom_call_target="__cublas$lt$matmul", \
backend_config={"gemm_backend_config":{"alpha_real":1,"dot_dimension_numbers":{\
"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"],"lhs_batch_dimensions":[],\
"rhs_batch_dimensions":[]},"beta":0}}
  ROOT %out = bf16[512,256]{1,0} get-tuple-element(%call), index=0
}
"""
  assert Program(text).matmul_flops() == 2 * 512 * 2048 * 256


@pytest.mark.skipif(HAS_CUDA, reason="JAX's plugin for CUDA is installed")
def test_without_the_compiler_it_says_what_to_install():
  code, out, err = finish("plan", "--config=configs/stale_1b.py:480p", "--topology=h100:8")
  assert code == 2 and not out and "pip install 'stale_jax[cuda]'" in err and err.count("\n") == 1


@pytest.mark.skipif(not HAS_CUDA, reason="JAX's plugin for CUDA is not installed: pip install '.[cuda]'")
@pytest.mark.parametrize("machines", [1, 2])
def test_a_small_plan_by_xla_for_cuda(machines):
  # Enough tokens that attention is a kernel of cuDNN.
  sizes = {**SMALL, "source.height": 64, "source.width": 64, "model.dtype": "bfloat16", "training.batch": 8}
  mesh = {"mesh.data": machines, "mesh.fsdp": -1, "mesh.context": 2, "mesh.ulysses": 2}
  flags = [f"--config.{key}={value}" for key, value in {**sizes, **mesh}.items()]
  command = ["--config=configs/stale_1b.py:480p", "--topology=h100:4", f"--num_slices={machines}", *flags]
  code, out, err = finish("plan", *command, PYTHONWARNINGS="ignore")
  assert code == 0, err
  made = json.loads(out.splitlines()[-1])
  assert made["chips"] == 4 * machines and made["fits"] and made["bound"] in ("flops", "hbm", "hidden", "dcn")
  # Counted in the jaxpr and in the compiled program; attention by formula, since kernels are opaque.
  assert made["compiler_flops"] == pytest.approx(made["flops"], rel=0.05)
  between = {c["between_slices"] for c in made["collectives"]}
  assert (True in between) == (machines == 2)
