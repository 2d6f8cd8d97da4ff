"""From a config and its system to how the system is trained."""

from collections.abc import Mapping
from typing import Any

from stale_jax.construct import check_keys, choose, construct
from stale_jax.errors import UserError
from stale_jax.mesh import MeshShape
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
from stale_jax.processes import UniformTokens
from stale_jax.system import System
from stale_jax.training.ema import Ema
from stale_jax.training.experiment import Training
from stale_jax.training.optimizer import AdamW, Muon
from stale_jax.training.settings import Training as Settings
from stale_jax.training.steps.nft import GRPO
from stale_jax.training.steps.self_forcing import SelfForcing

OBJECTIVES = {"denoising": Denoising}
OPTIMIZERS = {"adamw": AdamW, "muon": Muon}


def build_training(config: Mapping[str, Any], system: System) -> Training:
  """How `system` is trained.

  Raises:
    UserError: an unknown key or name, or values that do not fit one another or the system.
  """
  build_kind = _build_autoencoding if system.is_autoencoder else _build_denoising
  return build_kind(config, system, _build_shared(config))


def _build_shared(config: Mapping[str, Any]) -> dict[str, Any]:
  """What every kind of training has."""
  seed = config.get("seed", 0)
  if not 0 <= seed < 2**31:
    raise UserError(f"seed={seed} must lie from 0 to 2^31 - 1.")
  return {
    "seed": seed,
    "settings": construct(Settings, config.get("training", {}), "training"),
    "optimizer": choose(OPTIMIZERS, {"name": "adamw", **config.get("optimizer", {})}, "optimizer"),
    "ema": construct(Ema, config.get("ema", {}), "ema"),
    "mesh": construct(MeshShape, config.get("mesh", {}), "mesh"),
  }


def _build_autoencoding(config: Mapping[str, Any], system: System, shared: dict[str, Any]) -> Training:
  section = {**config.get("objective", {}), "source": system.data.source}
  return Training(**shared, objective=construct(Reconstruction, section, "objective"))


def _build_denoising(config: Mapping[str, Any], system: System, shared: dict[str, Any]) -> Training:
  messup = construct(MessUp, config.get("messup", {}), "messup")
  if messup.noise and isinstance(system.diffusion.process, UniformTokens):
    raise UserError("messup.noise is added to clips, and nothing can be added to tokens: messup.drop can be.")
  return Training(
    **shared,
    objective=_build_objective(config, system, shared["settings"]),
    messup=messup,
    corruption=construct(ConditionCorruption, config.get("corruption", {}), "corruption"),
    self_forcing=_if_given(SelfForcing, config, "self_forcing"),
    grpo=_if_given(GRPO, config, "grpo"),
  )


def _build_objective(config: Mapping[str, Any], system: System, settings: Settings) -> Total:
  """The denoising loss, and the terms that are added to it."""
  source, process, artv = system.data.source, system.diffusion.process, system.diffusion.artv
  check_keys(config.get("objective", {}).get("weights", {}), source.senses, "objective.weights")
  section = {"name": "denoising", **config.get("objective", {}), "process": process}
  denoising = choose(OBJECTIVES, section, "objective")
  terms = [denoising]
  if config.get("cringe") is not None:
    terms.append(_build_cringe(config["cringe"], source, settings))
  dog = config.get("dog") or {"weight": 0.0}
  if dog.get("weight", DoG.weight):
    given = {"process": process, "source": source, "weights": denoising.weights}
    terms.append(construct(DoG, {**dog, **given}, "dog"))
  if artv and artv.mask:
    terms.append(Copy(weight=artv.copy))
  return Total(terms=tuple(terms))


def _build_cringe(section: Mapping[str, Any], source, settings: Settings) -> Cringe:
  """The objective over the labels of `source`; raises UserError if nothing could be learnt from them."""
  if not settings.caption_dropout:
    raise UserError("training.caption_dropout=0: cringe learns from clips whose caption is withheld.")
  return construct(Cringe, {**section, "labels": source.labels}, "cringe")


def _if_given(cls: type, config: Mapping[str, Any], name: str):
  """What the section `name` describes; None if there is none."""
  return construct(cls, config[name], name) if config.get(name) else None
