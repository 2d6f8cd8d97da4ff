"""What the goldens hold: movies of each way of sampling, and short training runs.

`movies.npz` has the arrays `<case>/<row>/<sense>`, rounded to 2^-15; `<model>.safetensors` are the weights of
small untrained networks, in the format of the first releases; `traces.json` has each run's config, losses
and what its final weights sum to. All were computed by `make.py` with the code of commit 8a046d5.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent
PROMPTS = ["a red seven moves left quickly", "a cyan two moves down slowly"]
TURNING = ((0.0, PROMPTS[0]), (1.0, PROMPTS[1]))
SHORT = {"steps": 4}

# name -> (weights, senses that are kept, arguments of `Model.generate`); 8 frames per second.
MOVIES = {
  # All frames at once.
  "all_frames": ("plain", None, {}),
  "all_frames_unguided": ("plain", None, {"guidance": 1.0, "steps": 3}),
  "all_frames_heun": ("plain", ("sight",), {"solver": "heun", **SHORT}),
  "all_frames_ancestral": ("plain", ("sight",), {"solver": "ancestral", **SHORT}),
  "all_frames_consistency": ("plain", ("sight",), {"solver": "consistency", **SHORT}),
  "all_frames_multistep": ("plain", ("sight",), {"solver": "multistep", **SHORT}),
  "all_frames_micro": ("micro", ("sight",), {"fps": 8.0, "motion": 0.1, **SHORT}),
  "all_frames_reflected": ("reflected", ("sight",), {"solver": "ancestral", **SHORT}),
  "all_frames_cycle": ("cycle", ("sight",), SHORT),
  "all_frames_judged": ("judged", ("sight",), SHORT),
  "all_frames_digits": ("digits", ("sight", "sound"), {"how": "windows"}),
  # A causal rollout beyond the clip length.
  "causal_digits": ("digits", None, {"seconds": 1.5}),
  "causal_causal": ("causal", None, {"seconds": 2.0, "steps": 10}),
  "causal_one_by_one": (
    "causal",
    ("sight",),
    {"seconds": 1.25, "chunk": 1, "sinks": 1, "noise": 0.1, **SHORT},
  ),
  "causal_remedies": (
    "causal",
    ("sight",),
    {"seconds": 2.5, "chunk": 2, "sinks": 2, "sink_decay": 0.9, "rope_jitter": 0.5, "revive": 0.5, **SHORT},
  ),
  # Windows.
  "windows": ("first", None, {"seconds": 1.5, "conditioning_frames": 2, **SHORT}),
  "windows_causal": (
    "causal",
    ("sight",),
    {"seconds": 2.0, "how": "windows", "conditioning_frames": 4, "noise": 0.1, **SHORT},
  ),
  # A frame after the other.
  "next_frame": ("artv", None, {"seconds": 1.0, **SHORT}),
  "next_frame_masked": ("masked", None, {"seconds": 1.0, "guidance": 2.0, "noise": 0.2, **SHORT}),
}
# The same, of the prompt that turns into the other after a second.
SCRIPTS = {
  f"script_{change}": ("causal", ("sight",), {"seconds": 1.5, "chunk": 2, "on_change": change, **SHORT})
  for change in ("keep", "flush", "recache", "cut")
}
# The same, going on from the frames of PLACED.
CONTINUED = {
  "first_causal": ("digits", ("sight",), {**SHORT}),
  "first_window": ("first", None, SHORT),
  "first_next_frame": ("artv", None, SHORT),
}
# Of `Model.story`: panels of these prompts.
PANELS = [f"a {colour} seven moves left slowly" for colour in ("red", "green", "blue", "cyan", "yellow")]
STORIES = {
  "story": ("plain", ("sight",), {"rate": 0.5, "plain": 1, **SHORT}),
  "story_of_tiles": ("plain", ("sight",), {"tile": 2, **SHORT}),
}
# Of `Model.generate` in the space of an autoencoder, whose weights are given as well.
LATENTS = {"latents": ("latent", ("sight",), SHORT)}

TRACES = ("denoise", "mechanisms", "autoencoder", "self_forcing", "nft")


def given(clips: dict) -> dict:
  """The first two frames of one of a case's movies, to be gone on from."""
  return {name: x[:2] for name, x in clips.items()}


def traces() -> dict:
  """name -> config, losses, sums of the final parameters and averages."""
  return json.loads((FOLDER / "traces.json").read_text())
