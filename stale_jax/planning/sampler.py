"""Plans the sampler on the mesh of training: compiles one guided evaluation of the network."""

import dataclasses

import jax
import jax.numpy as jnp

from stale_jax.clip import floats
from stale_jax.compilation import compiler_options
from stale_jax.mesh import batch_sharding, on_mesh, parts
from stale_jax.planning.chips import Chip
from stale_jax.planning.compiled import compile_or_size, sent
from stale_jax.planning.cudnn import pretend_cudnn
from stale_jax.planning.hlo import Program
from stale_jax.planning.report import SamplerPlan
from stale_jax.planning.roofline import roofline
from stale_jax.sampling.guiding import guided, guiding_of
from stale_jax.training.experiment import Experiment
from stale_jax.training.program import batch_shapes


def plan_sampler(experiment: Experiment, program, chip: Chip, forward: float) -> SamplerPlan | None:
  """Plans one guided evaluation of the network.

  Args:
    experiment: the experiment.
    program: its `TrainingProgram`, whose mesh and sharded parameters the sampler uses.
    chip: chip of the devices.
    forward: operations of the forward pass of one clip.
  """
  mesh, settings = program.mesh, experiment.diffusion.sampling
  ways = parts(mesh, "batch")
  movies = -(-settings.batch // ways) * ways
  guiding = guiding_of(settings, experiment.diffusion.process, experiment.network)
  if guiding is not None:
    guiding = dataclasses.replace(guiding, is_limited=False)
  whole = batch_sharding(mesh)

  def many(x):
    return jax.ShapeDtypeStruct((movies, *x.shape[1:]), x.dtype, sharding=whole)

  batch = batch_shapes(experiment, mesh)
  clip, context = jax.tree.map(many, (jax.eval_shape(floats, batch.clip), batch.context))
  t = jax.ShapeDtypeStruct((movies, experiment.data.source.frames), jnp.float32, sharding=whole)

  def evaluate(params, clip, t, context):
    def denoiser_of(network):
      return lambda clip, t, context: network.apply(params, clip, t, context)

    chosen = guided(guiding, experiment.network, denoiser_of, settings.scale(t.shape[1]), settings.interval)
    return chosen(clip, t, context)

  with pretend_cudnn():
    options = compiler_options(mesh.devices.flat[0].platform)
    run = jax.jit(on_mesh(mesh, evaluate), compiler_options=options)
    lowered = run.lower(program.state.params, clip, t, context)
  compiled = compile_or_size(lowered)
  evaluations = settings.steps * (2 if settings.solver == "heun" else 1)
  outputs = 1 if guiding is None else 2 if guiding.skip is None else 3
  flops = forward * movies * outputs / mesh.size
  if isinstance(compiled, float):
    seconds = roofline(chip, flops, 0.0, [])
    return SamplerPlan(movies=movies, evaluations=evaluations, used=compiled, seconds=seconds)
  stats, text = compiled.memory_analysis(), Program(compiled.as_text())
  used = stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
  seconds = roofline(chip, flops, text.hbm_bytes(), sent(text, mesh))
  used += stats.generated_code_size_in_bytes - stats.alias_size_in_bytes
  return SamplerPlan(movies=movies, evaluations=evaluations, used=used, seconds=seconds)
