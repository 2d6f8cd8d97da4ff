"""The schema of configs: all sections and keys, with type, default, range and meaning.

The keys of a section are the fields of the dataclass that the section configures. The dataclass is defined
next to the code that uses it, and its docstring describes the keys.
"""

import dataclasses
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

from stale_jax.config.latents import Latents
from stale_jax.config.mixture import Mixed
from stale_jax.data.build import SOURCES
from stale_jax.fields import choice, number
from stale_jax.mesh import MeshShape
from stale_jax.models import Autoencoder, Transformer
from stale_jax.models.adapters import ADAPTERS
from stale_jax.objectives import (
  Artv,
  ConditionCorruption,
  Cringe,
  Denoising,
  DoG,
  FirstFrames,
  MessUp,
  Reconstruction,
)
from stale_jax.processes.build import PROCESSES, TIME_SAMPLERS
from stale_jax.sampling import SAMPLERS, Rollout, Sampling
from stale_jax.sections import Section, only
from stale_jax.training.ema import Ema
from stale_jax.training.optimizer import AdamW, Muon
from stale_jax.training.settings import EvaluationSettings, TrainingSettings
from stale_jax.training.steps.registry import STEPS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Root:
  """The keys outside of sections.

  Attributes:
    seed: seed of all random numbers in training.
    senses: senses of the clips that the network models, in order.
  """

  seed: int = number(0, least=0, most=2**31 - 1)
  senses: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnyRollout(Rollout):
  """How movies are made, and remedies for the loss of quality in long movies; each remedy is off by default.

  Attributes:
    how: sampler of movies (see `Rollout`); "auto" is "artv" or "causal" if the model was trained for it, else
      "windows".
  """

  how: str = choice("auto", ChainMap(SAMPLERS, {"auto": None}))


ROOT = only(Root)
MODELS = {"transformer": Transformer, "autoencoder": Autoencoder}
OPTIMIZERS = {"adamw": AdamW, "muon": Muon}
_PIXELS = Section(variants=SOURCES, default=None)
# A view, so that sources which a program adds to SOURCES are valid here too.
_UNMIXED = Section(variants=ChainMap({"latents": Latents}, SOURCES), default=None, nested={"source": _PIXELS})
_SHARED = {
  "optimizer": Section(variants=OPTIMIZERS, default="adamw"),
  "ema": only(Ema),
  "mesh": only(MeshShape),
  "training": only(TrainingSettings),
  "evaluation": only(EvaluationSettings),
}
_MODEL_FILLED = ("senses", "labels", "emoji", "token_drop", "text_noise", "mask", "skip", "trained_frames")

DIFFUSION = {
  "source": Section(
    variants=ChainMap({"latents": Latents, "mixture": Mixed}, SOURCES),
    default=None,
    nested={"source": _PIXELS},
    each={"sources": _UNMIXED},
  ),
  "process": Section(variants=PROCESSES, default=None),
  "times": Section(variants=TIME_SAMPLERS, default="uniform"),
  "model": Section(variants=MODELS, default="transformer", filled=_MODEL_FILLED),
  "objective": Section(variants={"denoising": Denoising}, default="denoising", filled=("process",)),
  "cringe": only(Cringe, "labels", is_optional=True),
  "dog": only(DoG, "process", "weights", is_optional=True),
  "messup": only(MessUp),
  "corruption": only(ConditionCorruption),
  "first": only(FirstFrames, "sense"),
  "artv": only(Artv, is_optional=True),
  "adapter": Section(variants=ADAPTERS, default="lora", is_optional=True),
  **_SHARED,
  "sampling": only(Sampling),
  "rollout": only(AnyRollout),
}
AUTOENCODER = {
  "source": _PIXELS,
  "model": Section(variants=MODELS, default="transformer", filled=("adversary",)),
  "objective": Section(variants={"reconstruction": Reconstruction}, default="reconstruction"),
  **_SHARED,
}


def is_autoencoder(config: Mapping[str, Any]) -> bool:
  """Whether the config's network is an autoencoder."""
  model = config.get("model")
  return isinstance(model, Mapping) and model.get("name") == "autoencoder"


def sections_of(config: Mapping[str, Any]) -> dict[str, Section]:
  """The sections that `config` may have, which depend on its network."""
  if is_autoencoder(config):
    return AUTOENCODER
  return DIFFUSION | {name: only(settings, is_optional=True) for name, settings in STEPS.items()}
