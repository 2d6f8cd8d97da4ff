"""What a compiled program sends, against programs whose collectives are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from stale_jax.planning.collectives import collectives, first_group
from stale_jax.planning.hlo import Program, arrays
from tests.devices import on_devices

SHAPE = {"data": 2, "fsdp": 4}


def compiled(f, *args):
  return Program(jax.jit(f).lower(*args).compile().as_text())


def mesh():
  return Mesh(np.reshape(jax.devices()[:8], (2, 4)), tuple(SHAPE))


def array(shape, *spec):
  return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh(), P(*spec)))


@on_devices(8)
def test_each_kind_by_axis_and_bytes():
  def program(x):
    a = jax.lax.psum(x, "fsdp")
    b = jax.lax.all_gather(x * 2, "data")
    c = jax.lax.all_to_all(x * 3, "fsdp", 0, 0, tiled=True)
    d = jax.lax.ppermute(x * 5, "fsdp", [(i, (i + 1) % 4) for i in range(4)])
    return jnp.sum(a) + jnp.sum(b) + jnp.sum(c) + jnp.sum(d)

  # On each device 16 x 8 float32: 512 bytes.
  run = jax.shard_map(program, mesh=mesh(), in_specs=P(("data", "fsdp")), out_specs=P(), check_vma=False)
  found = {(c.kind, c.axes): c for c in collectives(compiled(run, array((128, 8), ("data", "fsdp"))), SHAPE)}
  assert found["all-reduce", ("fsdp",)].bytes == 512 * 2 * 3 / 4
  assert found["all-gather", ("data",)].bytes == 1024 / 2
  assert found["all-to-all", ("fsdp",)].bytes == 512 * 3 / 4
  assert found["collective-permute", ("fsdp",)].bytes == 512
  assert len(found) == 4 and all(c.count == 1 for c in found.values())
  assert found["all-gather", ("data",)].size == 2


@on_devices(8)
def test_loops_within_loops_send_as_often_as_they_run():
  def inner(x, _):
    return jax.lax.ppermute(x, "fsdp", [(i, (i + 1) % 4) for i in range(4)]) + 1, None

  def outer(x, _):
    return jax.lax.psum(jax.lax.scan(inner, x, length=5)[0], "data") / 2, None

  def program(x):
    return jax.lax.scan(outer, x, length=3)[0]

  run = jax.shard_map(program, mesh=mesh(), in_specs=P(), out_specs=P(), check_vma=False)
  found = {c.kind: c for c in collectives(compiled(run, array((16, 8))), SHAPE)}
  assert found["collective-permute"].count == 15 and found["collective-permute"].bytes == 15 * 512
  assert found["all-reduce"].count == 3 and found["all-reduce"].axes == ("data",)


@on_devices(8)
def test_matrix_products_count_as_often_as_they_run_and_on_one_device():
  def program(x, ws):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, ws)[0]

  found = compiled(program, array((64, 32), "data"), array((6, 32, 32)))
  assert found.matmul_flops() == 6 * 2 * 32 * 32 * 32


def group(text, devices=8):
  program = Program("ENTRY %m () -> f32[] {\n  ROOT %a = f32[4]{0} all-reduce(%p), " + text + "\n}\n")
  return first_group(next(iter(program.computations["m"].values())), devices)


@pytest.mark.parametrize(
  ("text", "devices"),
  [
    ("replica_groups={{0,4},{1,5}}, x", (0, 4)),
    ("replica_groups=[4,2]<=[8], x", (0, 1)),
    ("replica_groups=[4,2]<=[2,4]T(1,0), x", (0, 4)),
    ("replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, x", (0, 1, 2, 3)),
    ("replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_0'}, x", (0, 4)),
    ("replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1':(2)2}, x", (0, 1)),
    ("replica_groups=mesh['a'=1,'b'=4,'c'=2], device_ids=([2,4]T(1,0)) {'b'}, x", (0, 1, 2, 3)),
    ("replica_groups=mesh['a'=4,'b'=1,'c'=2], device_ids=([2,4]T(1,0)) {'c'}, x", (0, 4)),
    ("replica_groups={}, x", tuple(range(8))),
    ("source_target_pairs={{0,0},{1,5},{5,1}}, x", (1, 5)),
  ],
)
def test_groups_in_every_form_that_the_compilers_write(text, devices):
  assert group(text) == devices


def test_types():
  near, far = arrays("(bf16[8,128]{1,0:T(8,128)(2,1)S(1)}, /*index=1*/f32[2]{0})")
  assert (near.bytes, near.far, far.bytes, far.far) == (2048, False, 8, True)


# What a TPU's compiler writes: no trip count, a collective spread over fusions, a reduce-scatter in disguise.
TPU = """
%cond (p: (s32[], f32[64])) -> pred[] {
  %p = (s32[], f32[64]{0}) parameter(0)
  %n = s32[]{:T(128)} constant(7)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

%all-reduce-scatter.1 (q: f32[64]) -> f32[8] {
  %q = f32[64]{0} parameter(0)
  %sum = f32[64]{0} all-reduce(%q), replica_groups=[1,8]<=[8], to_apply=%add
  ROOT %part = f32[8]{0} dynamic-slice(%sum, %zero)
}

%first (a: f32[8]) -> f32[64] {
  %a = f32[8]{0} parameter(0)
  ROOT %g1 = f32[64]{0} all-gather(%a), replica_groups=[1,8]<=[8], frontend_attributes={chain_id="3"}
}

%second (b: f32[8]) -> f32[64] {
  %b = f32[8]{0} parameter(0)
  ROOT %g2 = f32[64]{0} all-gather(%b), replica_groups=[1,8]<=[8], frontend_attributes={chain_id="3"}
}

%body (p: (s32[], f32[64])) -> (s32[], f32[64]) {
  %p = (s32[], f32[64]{0}) parameter(0)
  %x = f32[64]{0} get-tuple-element(%p), index=1
  %scattered = f32[8]{0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.1
  %f = f32[64]{0} fusion(%scattered), kind=kOutput, calls=%first
  %g = f32[64]{0} fusion(%scattered), kind=kOutput, calls=%second
  ROOT %t = (s32[], f32[64]{0}) tuple(%i, %g)
}

ENTRY %main (p: (s32[], f32[64])) -> (s32[], f32[64]) {
  %p = (s32[], f32[64]{0}) parameter(0)
  ROOT %while.1 = (s32[]{:T(128)}, f32[64]{0}) while(%p), condition=%cond, body=%body
}
"""


def test_what_the_tpus_compiler_writes():
  found = {c.kind: c for c in collectives(Program(TPU), {"fsdp": 8})}
  assert set(found) == {"reduce-scatter", "all-gather"}
  assert found["reduce-scatter"].count == found["all-gather"].count == 7
  assert found["reduce-scatter"].bytes == found["all-gather"].bytes == 7 * 256 * 7 / 8
  apart = collectives(Program(TPU), {"fsdp": 8}, slice_of=[0] * 4 + [1] * 4)
  assert all(c.slices for c in apart)


def test_a_loop_that_the_compiler_has_unrolled_counts_by_more_than_one():
  counter = """  %i = s32[] get-tuple-element(%p), index=0
  %one = s32[] constant(1)
  %j = s32[] add(%i, %one)
  %k = s32[] add(%one, %j)
  ROOT %t = (s32[], f32[64]{0}) tuple(%k, %g)"""
  by_two = TPU.replace("  ROOT %t = (s32[], f32[64]{0}) tuple(%i, %g)", counter)
  assert {c.count for c in collectives(Program(by_two), {"fsdp": 8})} == {4}  # 0, 2, 4, 6.
  start = (
    "  %z = s32[] constant(3)\n  %x = f32[64]{0} parameter(1)\n  %s = (s32[], f32[64]{0}) tuple(%z, %x)\n"
  )
  later = by_two.replace("  ROOT %while.1", start + "  ROOT %while.1").replace("while(%p)", "while(%s)")
  assert {c.count for c in collectives(Program(later), {"fsdp": 8})} == {2}  # 3, 5.


@pytest.mark.parametrize(
  ("image", "kernel", "how"),
  [
    ((2, 5, 7, 3), (3, 2, 3, 4), {"padding": [(1, 1), (0, 2)]}),
    ((2, 9, 8, 3), (3, 3, 3, 4), {"padding": [(2, 1), (1, 1)], "window_strides": (2, 3)}),
    ((1, 6, 1, 5), (1, 4, 5, 2), {"padding": [(0, 0), (3, 3)]}),  # A product in disguise, mostly padding.
    ((1, 4, 5, 2), (3, 2, 2, 2), {"padding": [(2, 2), (1, 0)], "lhs_dilation": (2, 3)}),
    ((1, 9, 9, 2), (2, 3, 2, 2), {"padding": [(1, 1), (0, 0)], "rhs_dilation": (3, 2)}),
  ],
)
def test_a_convolutions_products_are_those_that_meet_no_padding(image, kernel, how):
  how = {"window_strides": (1, 1), "dimension_numbers": ("NHWC", "HWIO", "NHWC"), **how}

  def convolve(x, k):
    return jax.lax.conv_general_dilated(x, k, **how)

  args = jnp.zeros(image), jnp.zeros(kernel)
  program = Program(jax.jit(convolve).lower(*args).compile().as_text())
  # Of ones, each output is the number of products in it.
  assert program.matmul_flops() == 2 * float(convolve(jnp.ones(image), jnp.ones(kernel)).sum())
