"""The smallest experiment that has every part: a config, and the flags that make it."""

from configs import digits

SIZES = {
  "model.width": 32,
  "model.side_width": 16,
  "model.text_width": 16,
  "model.condition_width": 16,
  "model.depth": 1,
  "model.heads": 2,
}
OVERRIDES = {
  **SIZES,
  "senses": ("sight", "touch"),
  "source.canvas": 12,
  "source.frames": 4,
  "source.patch": 2,
  "times.independent": False,
  "model.causal": False,
  "rollout.chunk": 1,
  "rollout.sinks": 0,
  "rollout.on_change": "keep",
  "ema.snapshots": 6,
  "training.batch": 8,
  "training.steps": 40,
  "training.log_every": 4,
  "training.checkpoint_every": 8,
  "sampling.steps": 4,
}


def config(**overrides) -> dict:
  """As plain data; double underscores in keys stand for dots."""
  config = digits.get_config()
  config.update_from_flattened_dict({**OVERRIDES, **{k.replace("__", "."): v for k, v in overrides.items()}})
  return config.to_dict()


def arguments(workdir, **overrides) -> list[str]:
  """Of experiments.train for the same."""
  values = {**OVERRIDES, **{k.replace("__", "."): v for k, v in overrides.items()}}
  flags = [f"--config.{k}={v!r}" if isinstance(v, tuple) else f"--config.{k}={v}" for k, v in values.items()]
  return ["--config=configs/digits.py", f"--workdir={workdir}", *flags]
