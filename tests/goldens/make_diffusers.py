"""Computes `diffusers.json`: numbers of the library diffusers for solvers, time grids and guidance.

It needs torch and diffusers, but neither JAX nor this package. From the root of the checkout:

python -m venv peer && peer/bin/pip install torch diffusers scipy
peer/bin/python tests/goldens/make_diffusers.py
"""

import importlib
import json
import types
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("diffusers.json")
# Noise levels sigma / (alpha + sigma) of the steps, with steps of different lengths; the last step ends at 0.
STEPS = [0.999, 0.93, 0.8, 0.71, 0.45, 0.2, 0.11, 0.04]
SOLVERS = {
  "dpmpp_2m": ("dpmsolver", "DPMSolver", {"algorithm_type": "dpmsolver++"}),
  "dpmpp_2m_sde": (
    "dpmsolver",
    "DPMSolver",
    {"algorithm_type": "sde-dpmsolver++", "solver_type": "midpoint"},
  ),
  "unipc": ("unipc", "UniPC", {"solver_type": "bh2", "predict_x0": True}),
}


def clean(x, level):
  """The x0 of a network that is no denoiser of anything: smooth, inside (-1, 1)."""
  return 0.7 * np.sin(2 * x + 3 * level)


def solved(name: str, steps: list[float], path: str, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
  """x after all steps of diffusers' scheduler, in float64.

  Args:
    name: key of SOLVERS.
    steps: noise levels sigma / (alpha + sigma) of the steps.
    path: "flow": x = (1 - level) x0 + level e; "unit": the same divided by the norm of the coefficients.
    x: values at the first level, [n].
    noise: standard-normal noise, [steps, n]; used by the SDE alone.
  """
  import torch

  file, kind, settings = SOLVERS[name]
  module = importlib.import_module(f"diffusers.schedulers.scheduling_{file}_multistep")
  # Schedulers cast samples to float32; here they cast to float64.
  module.torch = types.SimpleNamespace(**{**vars(torch), "float32": torch.float64})
  flow = path == "flow"
  settings = {**settings, "solver_order": 2, "final_sigmas_type": "zero", "prediction_type": "sample"}
  if flow:
    settings |= {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
  scheduler = vars(module)[f"{kind}MultistepScheduler"](**settings)
  scheduler.set_timesteps(len(steps))
  levels = np.array([*steps, 0.0])
  scheduler.sigmas = torch.tensor(levels if flow else levels / (1 - levels), dtype=torch.float64)
  x = torch.tensor(x[None], dtype=torch.float64)
  for i, (level, timestep) in enumerate(zip(steps, scheduler.timesteps, strict=True)):
    output = torch.tensor(clean(x.numpy(), level))
    output = (x - output) / level if flow else output
    told = {"variance_noise": torch.tensor(noise[i : i + 1])} if name == "dpmpp_2m_sde" else {}
    x = scheduler.step(output, timestep, x, **told).prev_sample
  return x.numpy()[0]


def solver_numbers(rng) -> list[dict]:
  """Inputs and results of the solvers."""
  found = []
  for name in SOLVERS:
    for path in ("flow", "unit"):
      for steps in (STEPS, STEPS[::3], STEPS[:1], list(np.linspace(0.95, 0.05, 19).round(3))):
        x, noise = rng.standard_normal(2).round(3), rng.standard_normal((len(steps), 2)).round(3)
        noise = noise if name == "dpmpp_2m_sde" else 0 * noise[:0]
        case = {"solver": name, "path": path, "steps": steps, "x": x, "noise": noise}
        found.append({**case, "result": solved(name, steps, path, x, noise)})
  return found


def grid_numbers() -> dict[str, list]:
  """Time grids from 1 to 0 of the scheduler of flows, and the shifts of Flux, in float64."""
  from diffusers import FlowMatchEulerDiscreteScheduler
  from diffusers.pipelines.flux.pipeline_flux import calculate_shift

  grids = []
  for steps, factor in ((8, 1.0), (8, 6.0), (1, 3.0), (12, 3.0)):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=factor)
    times = np.linspace(1.0, 0.0, steps + 1)[:-1]
    times = factor * times / (1 + (factor - 1) * times)
    for kind in ("karras", "exponential", "beta"):
      convert = vars(type(scheduler))[f"_convert_to_{kind}"]
      result = convert(scheduler, in_sigmas=times, num_inference_steps=steps)
      grids.append({"grid": kind, "steps": steps, "shift": factor, "times": [*np.asarray(result), 0.0]})
  shifts = []
  for tokens in (64, 256, 1024, 4096, 9000):
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    times = np.linspace(1.0, 0.0, 9)[:-1]
    shifted = scheduler.time_shift(calculate_shift(tokens), 1.0, times)
    shifts.append({"tokens": tokens, "steps": 8, "times": [*shifted, 0.0]})
  return {"grids": grids, "shifts": shifts}


def guidance_numbers(rng) -> list[dict]:
  """Outputs [batch, frames, n] (conditional, unconditional, with skipped layers), and the guided output."""
  import torch
  from diffusers import (
    AdaptiveProjectedGuidance,
    ClassifierFreeGuidance,
    ClassifierFreeZeroStarGuidance,
    SkipLayerGuidance,
  )

  def rescaled(scale, share):
    return ClassifierFreeGuidance(guidance_scale=scale, guidance_rescale=share)

  def projected(scale, parallel, limit):
    # The paper's output_c + (scale - 1) update.
    return AdaptiveProjectedGuidance(
      guidance_scale=scale - 1,
      eta=parallel,
      adaptive_projected_guidance_rescale=limit,
      adaptive_projected_guidance_momentum=None,
      use_original_formulation=True,
    )

  def optimized(scale):
    return ClassifierFreeZeroStarGuidance(guidance_scale=scale, zero_init_steps=0)

  def skipping(scale, push):
    return SkipLayerGuidance(
      guidance_scale=scale,
      skip_layer_guidance_scale=push,
      skip_layer_guidance_start=0.0,
      skip_layer_guidance_stop=1.0,
      skip_layer_guidance_layers=[1],
    )

  chosen = [
    ("rescaled", {"scale": 5.0, "share": 0.7}, rescaled),
    ("rescaled", {"scale": 2.5, "share": 1.0}, rescaled),
    ("apg", {"scale": 5.0, "parallel": 0.0, "limit": 0.0}, projected),
    ("apg", {"scale": 7.5, "parallel": 0.3, "limit": 0.5}, projected),
    ("apg", {"scale": 4.0, "parallel": 1.0, "limit": 100.0}, projected),
    ("cfg_zero", {"scale": 5.0}, optimized),
    ("cfg_zero", {"scale": 1.5}, optimized),
    ("skip_layers", {"scale": 4.0, "push": 2.8}, skipping),
  ]
  found = []
  for kind, settings, build in chosen:
    outputs = {name: rng.standard_normal((2, 2, 3)).round(3) for name in ("c", "u", "skipped")}
    guider = build(**settings)
    guider.set_state(step=1, num_inference_steps=4, timestep=torch.tensor(500))
    given = {"pred_cond": outputs["c"], "pred_uncond": outputs["u"], "pred_cond_skip": outputs["skipped"]}
    given = given if kind == "skip_layers" else {k: v for k, v in given.items() if k != "pred_cond_skip"}
    result = guider.forward(**{name: torch.tensor(x) for name, x in given.items()}).pred
    found.append({"kind": kind, **settings, **outputs, "result": result.numpy()})
  return found


def numbers() -> dict:
  """All numbers, as in `diffusers.json`."""
  import diffusers
  import torch

  rng = np.random.default_rng(0)
  found = {
    "diffusers": diffusers.__version__,
    "torch": torch.__version__,
    "solvers": solver_numbers(rng),
    **grid_numbers(),
    "guidance": guidance_numbers(rng),
  }
  return json.loads(json.dumps(found, default=lambda x: np.asarray(x).tolist()))


if __name__ == "__main__":
  PATH.write_text(json.dumps(numbers(), separators=(",", ":")) + "\n")
