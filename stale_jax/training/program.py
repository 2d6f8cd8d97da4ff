"""The training step as one program for a mesh: compiled by the loop, planned without any device."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from stale_jax.clip import Batch, floats
from stale_jax.data import collate, first_stored
from stale_jax.errors import UserError
from stale_jax.mesh import batch_sharding, on_mesh, parts, state_shardings
from stale_jax.processes import UniformTokens
from stale_jax.training.experiment import Experiment
from stale_jax.training.state import Judges, State, initial_state
from stale_jax.training.steps.denoise import make_loss, make_step
from stale_jax.training.steps.nft import make_grpo_step
from stale_jax.training.steps.self_forcing import make_self_forcing_step


@dataclasses.dataclass(frozen=True)
class Program:
  """What a run computes, and where it lies.

  Attributes:
    mesh: of the devices.
    state, batch: shapes, with shardings; `batch` is the whole one, over all processes, of the first bucket
      of the source if it has several.
    fresh: () -> the first state, which never lies whole on any device.
    step: (state, batch) -> (state, metrics), jitted, so that it compiles once a bucket; it takes the memory
      of the state it is given.
  """

  mesh: Mesh
  state: State
  batch: Batch
  fresh: Callable[[], State]
  step: Callable


def training_program(experiment: Experiment, devices=None) -> Program:
  """That of `experiment` on `devices`, by default all there are; they may be those of a topology.

  Raises:
    UserError: the devices or the batch cannot be laid out as the config says.
  """
  training, mesh = experiment.training.settings, experiment.training.mesh.build(devices)
  ways = parts(mesh, "batch") * training.accumulate
  if training.batch % ways:
    raise UserError(
      f"training.batch={training.batch} is not a multiple of the mesh's data times fsdp times "
      f"training.accumulate, {ways}."
    )
  _check_heads(experiment, mesh)
  forcing = experiment.training.self_forcing
  optimizer = experiment.training.optimizer.build(
    training.steps // forcing.every if forcing else training.steps
  )
  critic = experiment.training.optimizer.build(training.steps)

  def fresh() -> State:
    key_init, key_run = jax.random.split(jax.random.key(experiment.training.seed))
    params = init_params(experiment, key_init)
    state = initial_state(params, optimizer, key_run, experiment.training.ema.start(params))
    if not forcing:
      return state
    return state.replace(judges=Judges(teacher=params, critic=params, opt_state=critic.init(params)))

  shapes = jax.eval_shape(fresh)
  shardings = state_shardings(mesh, shapes)
  state = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)
  whole = batch_sharding(mesh)
  batch = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((training.batch, *x.shape[1:]), x.dtype, sharding=whole),
    _example(experiment),
  )
  if forcing:
    update = make_self_forcing_step(experiment, optimizer, critic)
  elif experiment.training.grpo:
    update = make_grpo_step(experiment, optimizer)
  else:
    update = make_step(loss_of(experiment), optimizer, experiment.training.ema, training.accumulate)
  step = jax.jit(
    on_mesh(mesh, update),
    donate_argnums=0,
    out_shardings=(shardings, None),
  )
  return Program(mesh, state, batch, jax.jit(fresh, out_shardings=shardings), step)


def loss_of(experiment: Experiment) -> Callable:
  """What a step descends: (params, batch, key) -> (loss, metrics)."""
  loss = _coder_loss(experiment) if experiment.is_autoencoder else _diffusion_loss(experiment)

  def of_floats(params, batch: Batch, key):
    return loss(params, batch.replace(clip=floats(batch.clip)), key)

  return of_floats


def _coder_loss(experiment: Experiment) -> Callable:
  def loss(params, batch, key):
    metrics = experiment.training.objective(experiment.network, params, batch, key)
    return metrics["loss"], metrics

  return loss


def _diffusion_loss(experiment: Experiment) -> Callable:
  return make_loss(
    experiment.network,
    experiment.diffusion.process,
    experiment.diffusion.time_sampler,
    experiment.training.objective,
    experiment.training.settings.caption_dropout,
    experiment.training.messup,
    experiment.training.corruption,
    experiment.diffusion.artv or experiment.diffusion.first,
  )


def init_params(experiment: Experiment, key):
  """Parameters drawn from `key`."""
  example = _example(experiment)
  clip = floats(example.clip)
  if experiment.is_autoencoder:
    return jax.jit(experiment.network.init)({"params": key, "latent": key}, clip)
  t = np.zeros(next(iter(clip.values())).shape[:2], np.float32)
  return jax.jit(experiment.network.init)(key, clip, t, example.context)


def _example(experiment: Experiment) -> Batch:
  """A batch of one."""
  source = experiment.data.source
  model = experiment.network
  micro = getattr(model, "micro", ())
  example = collate([first_stored(source)], experiment.data.senses, model.text_length, source.labels, micro)
  if not experiment.is_autoencoder and isinstance(experiment.diffusion.process, UniformTokens):
    for name, x in floats(example.clip).items():
      if (np.abs(x) != 1).any() or ((x > 0).sum(-1) != 1).any():
        raise UserError(
          f"process uniform_tokens is for tokens, one-hot in -1 and 1, and {name} is none here."
        )
  return example


def _check_heads(experiment: Experiment, mesh: Mesh) -> None:
  """Raises UserError if the heads cannot be cut as the mesh says; an autoencoder has none."""
  if experiment.is_autoencoder:
    return
  heads, ways = experiment.network.heads, mesh.shape["tensor"] * mesh.shape["ulysses"]
  if heads % ways:
    raise UserError(f"model.heads={heads} is not a multiple of the mesh's tensor times ulysses, {ways}.")
