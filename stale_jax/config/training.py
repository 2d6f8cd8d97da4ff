"""Builds the training of a system from a resolved config."""

from collections.abc import Mapping
from typing import Any

from stale_jax.config.schema import OPTIMIZERS, is_autoencoder
from stale_jax.construct import check_keys, choose, construct
from stale_jax.errors import UserError
from stale_jax.evaluation import SUITES
from stale_jax.mesh import MeshShape
from stale_jax.models.adapters import ADAPTERS, Adapter
from stale_jax.objectives import (
  ConditionCorruption,
  Copy,
  Cringe,
  Denoising,
  DoG,
  MessUp,
  Reconstruction,
  Total,
)
from stale_jax.system import System
from stale_jax.training.ema import Ema
from stale_jax.training.experiment import Training
from stale_jax.training.settings import EvaluationSettings, TrainingSettings
from stale_jax.training.steps.autoencode import Autoencode
from stale_jax.training.steps.denoise import Denoise
from stale_jax.training.steps.registry import STEPS
from stale_jax.training.steps.train_step import StepSettings


def build_training(config: Mapping[str, Any], system: System) -> Training:
  """Builds optimizer, objective, training step and settings for `system`.

  Raises:
    UserError: a key or name is unknown, or values are inconsistent or do not fit the system.
  """
  build_kind = _build_autoencoding if system.is_autoencoder else _build_denoising
  return build_kind(config, system, _build_shared(config))


def _build_shared(config: Mapping[str, Any]) -> dict[str, Any]:
  """The parts that every kind of training has."""
  return {
    "seed": config["seed"],
    "settings": construct(TrainingSettings, config["training"], "training"),
    "evaluation": _build_evaluation(config["evaluation"], is_autoencoder(config)),
    "optimizer": choose(OPTIMIZERS, config["optimizer"], "optimizer"),
    "ema": construct(Ema, config["ema"], "ema"),
    "mesh": construct(MeshShape, config["mesh"], "mesh"),
  }


def _build_evaluation(section: Mapping[str, Any], codes: bool) -> EvaluationSettings:
  """Builds the settings of evaluation; raises UserError if a suite is for another kind of network."""
  settings = construct(EvaluationSettings, section, "evaluation")
  if not settings.every:
    return settings
  for name in settings.suites:
    if SUITES[name].is_for_autoencoders != codes:
      kind = "an autoencoder: use reconstruction" if codes else "not an autoencoder"
      raise UserError(f"evaluation.suites: {name!r} cannot measure this network, which is {kind}.")
    if SUITES[name].compares:
      raise UserError(f"evaluation.suites: {name!r} compares two models: use experiments.evaluate.")
  if settings.prompts and codes:
    raise UserError("evaluation.prompts: an autoencoder has no prompts; leave them out.")
  return settings


def _build_autoencoding(config: Mapping[str, Any], system: System, shared: dict[str, Any]) -> Training:
  objective = construct(Reconstruction, config["objective"], "objective")
  return Training(**shared, objective=objective, step=Autoencode())


def _build_denoising(config: Mapping[str, Any], system: System, shared: dict[str, Any]) -> Training:
  messup = construct(MessUp, config["messup"], "messup")
  if messup.noise and system.diffusion.process.is_discrete:
    raise UserError("messup.noise cannot be added to discrete tokens: use messup.drop instead.")
  adapter = _build_adapter(config)
  passes = 3 if adapter is None else 2  # The gradients of the frozen kernels are not computed.
  return Training(
    **shared,
    objective=_build_objective(config, system, shared["settings"]),
    step=_build_step(config, messup),
    passes=passes if all(config[name] is None for name in STEPS) else None,
    adapter=adapter,
  )


def _build_adapter(config: Mapping[str, Any]) -> Adapter | None:
  """Builds the settings of the adapter to train; raises UserError if the config cannot train one."""
  if config["adapter"] is None:
    return None
  adapter = choose(ADAPTERS, config["adapter"], "adapter")
  if not config["training"]["init_from"]:
    raise UserError("adapter: an adapter needs trained weights; set training.init_from, for example digits.")
  for name in STEPS:
    if config[name] is not None:
      raise UserError(f"adapter: config.{name} trains the whole network; leave one of the two sections out.")
  if config["ema"]["snapshots"]:
    raise UserError("ema.snapshots: post-hoc EMA does not read adapters; set ema.snapshots=0.")
  return adapter


def _build_step(config: Mapping[str, Any], messup: MessUp) -> StepSettings:
  """Builds the settings of the training step that an optional section selects, else of ordinary denoising."""
  chosen = [name for name in STEPS if config[name] is not None]
  if len(chosen) > 1:
    raise UserError(
      f"the config's sections {' and '.join(chosen)} are different kinds of training: leave one out."
    )
  if chosen:
    return construct(STEPS[chosen[0]], config[chosen[0]], chosen[0])
  corruption = construct(ConditionCorruption, config["corruption"], "corruption")
  return Denoise(messup=messup, corruption=corruption)


def _build_objective(config: Mapping[str, Any], system: System, settings: TrainingSettings) -> Total:
  """Builds the denoising loss and the terms that are added to it."""
  source, process, artv = system.data.source, system.diffusion.process, system.diffusion.artv
  check_keys(config["objective"]["weights"], source.senses, "objective.weights")
  denoising = construct(Denoising, {**config["objective"], "process": process}, "objective")
  terms = [denoising]
  if config["cringe"] is not None:
    terms.append(_build_cringe(config["cringe"], source, settings))
  dog = config["dog"]
  if dog is not None and dog["weight"]:
    filled = {"process": process, "weights": denoising.weights}
    terms.append(construct(DoG, {**dog, **filled}, "dog"))
  if artv and artv.mask:
    terms.append(Copy(weight=artv.copy))
  return Total(terms=tuple(terms))


def _build_cringe(section: Mapping[str, Any], source, settings: TrainingSettings) -> Cringe:
  """Builds the objective on the labels of `source`; raises UserError if no caption is ever dropped.

  The objective is computed only on examples without a caption.
  """
  if not settings.caption_dropout:
    raise UserError(
      "training.caption_dropout=0: cringe learns from clips with dropped captions; give a positive number."
    )
  return construct(Cringe, {**section, "labels": source.labels}, "cringe")
