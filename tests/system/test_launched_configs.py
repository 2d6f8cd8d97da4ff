"""Every training config, launched on two hosts: the command parses, builds and takes a step."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest

from stale_jax.data.metadata import Described
from stale_jax.data.sources.shards import record, write_shards
from tests.data.clips import encode
from tests.programs import ROOT, finish

HOSTS = 2
NO_TRAINING = {"__init__", "base", "launch_h100", "launch_v5e", "of_run"}
VARIANTS = {
  "autoencoder_real_gpu": ("folder", "shards"),
  "autoencoder_videos": ("folder", "shards"),
  "cartoons_small": ("frames", "short", "clips", "long"),
  "latent_videos": ("folder", "shards"),
  "real_gpu": ("folder", "shards", "plan"),
  "stale_1b": ("480p", "720p"),
  "stale_14b": ("480p", "720p"),
}
NAMES = sorted({path.stem for path in (ROOT / "configs").glob("*.py")} - NO_TRAINING)
CONFIGS = [
  f"{name}:{variant}" if variant else name for name in NAMES for variant in VARIANTS.get(name, ("",))
]

SHORT = {"training.steps": 1, "training.batch": 2, "training.log_every": 1, "training.checkpoint_every": 1}
TINY = {
  "model.width": 16,
  "model.side_width": 8,
  "model.text_width": 8,
  "model.condition_width": 8,
  "model.depth": 1,
  "model.heads": 2,
}
ONE_DEVICE = {"mesh.fsdp": 1, "mesh.context": 1, "mesh.ulysses": 1, "model.attention": "xla"}
LARGE = {**TINY, **ONE_DEVICE, "source.frames": 2, "source.height": 4, "source.width": 4}
VIDEO = {"height": 16, "width": 16}
SECOND = {**VIDEO, "frames": 5}  # Of configs whose clips last longer than the videos.
# Sizes of the clips of configs whose sources draw them.
DIGITS = {"canvas": 16, "frames": 3}
DRAWN = {
  "autoencoder_digits": DIGITS,
  "latent_digits": DIGITS,
  "cartoons_small": {**VIDEO, "frames": 10},
  "movie": {**VIDEO, "frames": 10},
  "cartoons": {**VIDEO, "frames": 10},
  "cartoons_student": {**VIDEO, "frames": 10},
}
# The run whose weights each begins with, or is in the space of.
BEGINS_WITH = {
  "camera_lora": "digits_causal",
  "digits_self_forcing": "digits_causal",
  "movie": "cartoons_small:long",
  "recipe_video": "recipe_images",
  "recipe_fine": "recipe_video",
  "cartoons_student": "cartoons",
  "cartoons_small:short": "cartoons_small:frames",
  "cartoons_small:clips": "cartoons_small:short",
  "cartoons_small:long": "cartoons_small:clips",
  "latent_digits": "autoencoder_digits",
  "latent_videos:folder": "autoencoder_videos:folder",
  "latent_videos:shards": "autoencoder_videos:shards",
  "real_gpu:folder": "autoencoder_real_gpu:folder",
  "real_gpu:shards": "autoencoder_real_gpu:shards",
}


class Runs:
  """Launches configs, each once."""

  def __init__(self, folder: Path):
    self.folder, self.done = folder, {}
    self.sources = {"folder": folder / "videos"}
    self.sources["folder"].mkdir()
    examples = []
    for name in "abcd":
      video = self.sources["folder"] / f"{name}.mp4"
      encode(video, frames=20, tones=(440,))
      described = Described(source_id=name, caption=name)
      examples.append((name, record(video.read_bytes(), dataclasses.asdict(described))))
    self.sources["shards"] = write_shards(folder / "data", {"train": examples})

  def overrides(self, config: str) -> dict:
    """What makes a config small, and gives it its data."""
    name, _, variant = config.partition(":")
    before = BEGINS_WITH.get(config)
    start = {"training.init_from": self.launch(before)} if before else {}
    if name.startswith("stale_") or variant == "plan":
      return {**SHORT, **LARGE}
    videos = self.sources["folder" if "folder" in (name, variant) else "shards"]
    size = SECOND if "real" in name else VIDEO
    if name.startswith("autoencoder"):
      small = DRAWN.get(name, {**size, "path": videos})
      return {**SHORT, **{f"source.{key}": value for key, value in small.items()}, "model.width": 8}
    if name.startswith(("latent", "real")):
      small = DRAWN.get(name, {**size, "path": videos})
      small = {f"source.source.{key}": value for key, value in small.items()}
      cache = {"source.cache": self.folder / "cache", "source.size": 4}
      return {**SHORT, **TINY, **small, **cache, "source.autoencoder": start["training.init_from"]}
    if name in ("folder", "shards") or name.startswith("recipe"):
      return {**SHORT, **TINY, **start, **{f"source.{k}": v for k, v in {**VIDEO, "path": videos}.items()}}
    small = {f"source.{key}": value for key, value in DRAWN.get(name, {}).items()}
    return {**SHORT, **TINY, **small, **start, "training.workers": 0}

  def launch(self, config: str) -> Path:
    """Takes a config through the launcher and trains what comes out for a step; returns its folder."""
    if config in self.done:
      return self.done[config]
    name, colon, variant = config.partition(":")
    workdir = self.folder / re.sub(r"\W", "_", config)
    overrides = tuple(f"{key}={value}" for key, value in self.overrides(config).items())
    code, said, err = finish(
      "launch",
      f"--run={ROOT / 'configs/launch_v5e.py'}",
      "--client=ssh",
      "--dry_run",
      f"--run.config=configs/{name}.py{colon}{variant}",
      f"--run.workdir={workdir}",
      f"--run.overrides={overrides!r}",
      "--run.topology=v5p:2x2x2",
      "--run.hosts=('a','b')",
      "--run.directory=code",
    )
    assert code == 0, err
    remote = shlex.split(json.loads(said.splitlines()[-1])["commands"][0])[-1]
    words = shlex.split(remote)
    arguments = words[words.index("experiments.train") + 1 :]
    assert arguments[-1] == f"--config.training.processes={HOSTS}"
    code, _, err = finish("train", *arguments, "--config.training.processes=1")  # The later one counts.
    assert code == 0, err
    self.done[config] = workdir
    return workdir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp("launched"))


# One of each kind that stands without the others; the rest are slow.
QUICK = {"digits", "digits_cringe", "folder", "stale_14b:720p"}


@pytest.mark.system
@pytest.mark.parametrize(
  "config", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CONFIGS]
)
def test_a_launched_config_parses_builds_and_takes_a_step(runs, config):
  written = "adapter" if config == "camera_lora" else "weights"
  assert (runs.launch(config) / f"{written}.safetensors").is_file()
