"""Computes the goldens. It runs with the code of commit 8a046d5, from the root of its checkout:

git worktree add /tmp/old 8a046d5 && cp -r tests/goldens /tmp/old/tests/
cd /tmp/old && python -m tests.goldens.make
"""

import copy
import json
import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np
from stale_jax.training.build import build
from stale_jax.training.weights import load_weights, save_weights

import stale_jax
from configs import autoencoder_digits, digits
from stale_jax.script import Script
from stale_jax.training import train
from stale_jax.training.program import init_params
from tests.goldens import cases

SMALL = {
  "senses": ("sight", "touch"),
  "source.canvas": 12,
  "source.frames": 4,
  "source.patch": 2,
  "times.independent": False,
  "model.width": 16,
  "model.side_width": 8,
  "model.text_width": 8,
  "model.condition_width": 8,
  "model.depth": 2,
  "model.heads": 2,
  "model.causal": False,
  "ema.snapshots": 0,
  "training.batch": 8,
  "training.steps": 6,
  "training.log_every": 1,
  "training.checkpoint_every": 6,
  "training.keep": 1,
  "sampling.steps": 6,
}
CAUSAL = {"source.patch": 1, "model.causal": True, "times.independent": True}


def small(changes=None, **sections) -> dict:
  config = digits.get_config()
  config.update_from_flattened_dict({**SMALL, **(changes or {})})
  config = config.to_dict()
  for name, section in sections.items():
    config[name] = {**config.get(name, {}), **section} if name != "rollout" else section
  config.setdefault("rollout", {})
  if "rollout" not in sections:
    config["rollout"] = {}
  return json.loads(json.dumps(config))


def coder() -> dict:
  config = autoencoder_digits.get_config().to_dict()
  config["source"] |= {"canvas": 16, "frames": 5}
  config["model"] |= {"width": 8}
  config["training"] |= {"steps": 4, "batch": 4, "log_every": 1, "checkpoint_every": 4, "keep": 1}
  config["ema"] = {"decay": 0.9}
  return json.loads(json.dumps(config))


def models() -> dict:
  return {
    "plain": small(),
    "micro": small(model={"micro": ["fps", "motion"]}),
    "reflected": small(process={"name": "reflected"}),
    "cycle": small(model={"turns": 2, "forms": "dense"}),
    "judged": small(cringe={"weight": 0.1, "emoji": "😂"}),
    "first": small(first={"share": 0.5}),
    "artv": small({"source.patch": 1}, artv={"noise": 0.2, "mask": False}),
    "masked": small({"source.patch": 1}, artv={"noise": 0.2, "mask": True}),
    "coder": coder(),
  }


def rounded(x) -> np.ndarray:
  return (np.round(np.asarray(x, np.float64) * 2**15) / 2**15).astype(np.float32)


def moved(params):
  """No gate is closed."""
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  noisy = [x + 0.1 * jax.random.normal(key, x.shape) for key, x in zip(keys, leaves, strict=True)]
  return jax.tree.unflatten(tree, noisy)


def path_of(name: str) -> str:
  return name if name in ("digits", "causal") else str(cases.FOLDER / f"{name}.safetensors")


def make_models() -> None:
  for name, config in models().items():
    params = moved(init_params(build(config), jax.random.key(0)))
    save_weights(cases.FOLDER / f"{name}.safetensors", params, config)
    print(name, sum(x.size for x in jax.tree.leaves(params)))


def latent() -> None:
  """A model of the coder's latents, whose paths are of `cases.FOLDER`."""
  config = small({"senses": ("sight",)})
  config["source"] = {
    "name": "latents",
    "source": coder()["source"],
    "autoencoder": "tests/goldens/coder.safetensors",
    "cache": "",
    "size": 16,
    "patch": 2,
  }
  config["objective"]["weights"] = {}
  with tempfile.TemporaryDirectory() as cache:
    params = moved(
      init_params(build({**config, "source": {**config["source"], "cache": cache}}), jax.random.key(0))
    )
  save_weights(cases.FOLDER / "latent.safetensors", params, config)


def kept(movies, senses) -> list[dict]:
  return [{name: x for name, x in movie.clip.items() if senses is None or name in senses} for movie in movies]


def make_movies() -> None:
  arrays, how = {}, {}

  def put(case, movies, senses):
    for row, clip in enumerate(kept(movies, senses)):
      for name, x in clip.items():
        arrays[f"{case}/{row}/{name}"] = rounded(x)
    how[case] = {key: value for key, value in movies[0].how.items() if key != "model"}
    print(case, {name: x.shape for name, x in clip.items()}, float(np.std(clip["sight"])), flush=True)

  for case, (name, senses, settings) in cases.MOVIES.items():
    put(case, stale_jax.load(path_of(name)).generate(cases.PROMPTS, 3, **settings), senses)
  for case, (name, senses, settings) in cases.SCRIPTS.items():
    put(case, stale_jax.load(path_of(name)).generate([Script(cases.TURNING)], 3, **settings), senses)
  for case, (name, senses, settings) in cases.CONTINUED.items():
    model = stale_jax.load(path_of(name))
    first = cases.given(model.generate(cases.PROMPTS[0], 7, steps=4).clip)
    put(case, model.generate(cases.PROMPTS, 3, first=first, **settings), senses)
  for case, (name, senses, settings) in cases.STORIES.items():
    put(case, stale_jax.load(path_of(name)).story(cases.PANELS, 3, **settings), senses)
  for case, (name, senses, settings) in cases.LATENTS.items():
    params, config = load_weights(path_of(name))
    with tempfile.TemporaryDirectory() as folder:
      config["source"]["cache"] = f"{folder}/cache"
      save_weights(Path(folder) / "latent.safetensors", params, config, np.float32)
      put(case, stale_jax.load(f"{folder}/latent.safetensors").generate(cases.PROMPTS, 3, **settings), senses)
  np.savez_compressed(cases.FOLDER / "movies.npz", **arrays)
  (cases.FOLDER / "how.json").write_text(json.dumps(how, indent=1))


def sums(params) -> dict[str, float]:
  """What does not depend on how parameters are grouped."""
  leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(params)]
  return {
    "count": sum(x.size for x in leaves),
    "sum": sum(x.sum() for x in leaves),
    "squares": sum(np.square(x).sum() for x in leaves),
    "absolute": sum(np.abs(x).sum() for x in leaves),
    "cubes": sum((x**3).sum() for x in leaves),
  }


def make_traces() -> None:
  plain = {"schedule": "constant", "warmup": 2}
  configs = {
    "denoise": small(CAUSAL | {"training.accumulate": 2}, optimizer={"warmup": 2}, model={}),
    "mechanisms": small(
      optimizer={**plain, "name": "adamw", "learning_rate": 1e-3, "matrix_learning_rate": None},
      model={"turns": 2, "forms": "concrete", "micro": ["fps"]},
      cringe={"weight": 0.1, "emoji": "😂"},
      dog={"weight": 0.1, "bands": 3},
      messup={"noise": 0.1, "drop": 0.1},
      corruption={"captions": 0.2, "embedding": 0.1},
      first={"share": 0.5, "frames": 1, "noise": 0.1},
    ),
    "autoencoder": coder() | {"objective": {"feature": 0.5, "kl": 1e-3, "adversarial": 0.1}},
    "self_forcing": small(
      CAUSAL | {"training.init_from": "tests/goldens/teacher.safetensors", "source.frames": 4},
      optimizer=plain,
      sampling={"solver": "consistency", "guidance": 1.0, "steps": 3},
      self_forcing={"every": 2, "frames": 8, "guidance": 1.5},
      rollout={"sinks": 1, "noise": 0.1},
    ),
    "nft": small(
      CAUSAL | {"training.init_from": "tests/goldens/teacher.safetensors"},
      optimizer=plain,
      sampling={"steps": 2},
      grpo={"group": 4},
    ),
  }
  del configs["mechanisms"]["optimizer"]["matrix_learning_rate"]
  teacher = small(CAUSAL)
  save_weights(
    cases.FOLDER / "teacher.safetensors", moved(init_params(build(teacher), jax.random.key(0))), teacher
  )
  found = {}
  for name in cases.TRACES:
    config = configs[name]
    config["training"]["steps"] = 4 if name != "denoise" else 6
    config["training"]["checkpoint_every"] = config["training"]["steps"]
    with tempfile.TemporaryDirectory() as folder:
      state = train(copy.deepcopy(config), folder)
      lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
      if name == "denoise":
        with tempfile.TemporaryDirectory() as kept_run:
          unneeded = shutil.ignore_patterns("weights*", "profile", "tensorboard")
          shutil.copytree(folder, kept_run, ignore=unneeded, dirs_exist_ok=True)
          shutil.make_archive(str(cases.FOLDER / "old_run"), "zip", kept_run)
        movie = stale_jax.load(folder).generate(cases.PROMPTS[0], 3)
        clip = {name: rounded(x) for name, x in movie.clip.items()}
        np.savez_compressed(cases.FOLDER / "old_run.npz", **clip)
    dropped = ("seconds", "time", "rate", "goodput", "examples_per_second")
    found[name] = {
      "config": config,
      "metrics": [{k: v for k, v in line.items() if k not in dropped} for line in lines],
      "params": sums(state.params),
      "ema": sums(state.ema),
    }
    print(name, [line["loss"] for line in lines], found[name]["params"], flush=True)
  (cases.FOLDER / "traces.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
  make_models()
  latent()
  make_movies()
  make_traces()
