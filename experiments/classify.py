"""Classifies movies by prompts alone, without training (Diffusion Classifier).

python -m experiments.classify --workdir=digits --input=clip.mp4 --prompt="a red seven moves left quickly" \\
  --prompt="a red two moves left quickly"

Each input is a video, or an .npz file that experiments.generate wrote. The first frames are classified, as
many as the model's training clips have. stdout gets one line per input, a JSON object: the most probable
prompt, and the probability of each.
"""

import dataclasses
import json

from absl import flags

from experiments.main import run
from experiments.model_flag import define_model
from stale_jax.errors import UserError
from stale_jax.progress import Stage

WORKDIR = define_model()
INPUT = flags.DEFINE_multi_string(
  "input", None, "Movie to classify: a video, or an .npz file of experiments.generate; may be repeated."
)
PROMPT = flags.DEFINE_multi_string("prompt", None, "What the movie may show; repeat the flag for each class.")
SENSES = flags.DEFINE_list("senses", None, "Senses of an .npz file that are used; default: all.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the noise.", lower_bound=0, upper_bound=2**32 - 1)
TEMPERATURE = flags.DEFINE_float(
  "temperature", None, "Divides the errors in the posterior; default: fitted on clips of digits."
)
PLOT = flags.DEFINE_string("plot", None, "SVG file to write, the frames and the posterior of each movie.")
flags.mark_flags_as_required(["input", "prompt"])


def main() -> None:
  import numpy as np

  from stale_jax.classification import Classifier, check_classifies, classify
  from stale_jax.construct import construct
  from stale_jax.editing import read_clip
  from stale_jax.files import at, check_on_disk, make_folder, write_whole
  from stale_jax.media import posteriors
  from stale_jax.pipeline import load

  for path in INPUT.value:
    check_on_disk("--", input=path)
  plot = at(PLOT.value) if PLOT.value else None
  given = {} if TEMPERATURE.value is None else {"temperature": TEMPERATURE.value}
  classifier = construct(Classifier, given, "classification")
  model = load(WORKDIR.value)
  check_classifies(model)
  clips = [_with_senses(read_clip(path, model)[0], path) for path in INPUT.value]
  if plot and not all("sight" in clip for clip in clips):
    raise UserError("--plot needs inputs with sight; leave it out, or name sight in --senses.")
  prompts, found = PROMPT.value, []
  note = "compiling takes up to a minute the first time"
  with Stage("classifying", len(clips), "movies", note=note) as stage:
    for path, clip in zip(INPUT.value, clips, strict=True):
      one = {name: x[None] for name, x in clip.items()}
      (p,), (gaps,), (levels,) = classify(model, one, [prompts], [SEED.value], classifier)
      found.append(p)
      said = {
        "input": path,
        "prompt": prompts[int(p.argmax())],
        "posterior": [{"prompt": text, "probability": float(x)} for text, x in zip(prompts, p, strict=True)],
        "gaps": gaps.tolist(),
        "evaluations": int(levels.sum()),
        "senses": sorted(clip),
        "model": model.name,
        "seed": SEED.value,
        "settings": dataclasses.asdict(classifier),
      }
      print(json.dumps(said))
      stage.advance()
  if plot:
    make_folder(plot.parent)
    write_whole(plot, posteriors([clip["sight"] for clip in clips], prompts, np.stack(found)))


def _with_senses(clip, path: str):
  """The senses of `clip` that --senses names."""
  if SENSES.value is None:
    return clip
  if missing := [name for name in SENSES.value if name not in clip]:
    raise UserError(f"{path} has no sense {missing[0]!r}; its senses are {', '.join(sorted(clip))}.")
  return {name: clip[name] for name in SENSES.value}


if __name__ == "__main__":
  run(main)
