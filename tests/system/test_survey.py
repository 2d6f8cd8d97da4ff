"""Every row of docs/survey.md that says "done" is run here by its command; a constant clip fails its check.

A case makes clips, by the programs, and checks them. The same check must fail for two fakes: the first frame
of each clip, repeated, and the mean of all values, repeated.
"""

import functools
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stale_jax.clip import intensity
from stale_jax.data import Digits
from stale_jax.data.sources.digits import LABELS, caption
from stale_jax.evaluation.frechet import frechet
from stale_jax.evaluation.kernel_distance import kernel_distance
from stale_jax.evaluation.liveliness import Liveliness, change_of
from stale_jax.evaluation.motion import frame_motion
from stale_jax.evaluation.reader import fitted_reader, track
from stale_jax.evaluation.senses import agreement
from stale_jax.media import png, save_movie
from tests.programs import ROOT, finish

ASKED = (
  "a red seven moves left quickly",
  "a cyan two moves down slowly",
  "a yellow five moves right quickly",
)
SOURCE = Digits(canvas=16, frames=8, split="test")
CASES: dict[str, tuple[Callable, Callable]] = {}


def case(name: str, make: Callable):
  """Registers the decorated function as the check of the row `name`, on what `make(folder)` returns."""

  def register(check):
    CASES[name] = make, check
    return check

  return register


def program(name: str, *flags) -> str:
  """Runs a program, with the model of digits unless it trains; returns the last line of its stdout."""
  model = [] if name == "train" else ["--workdir=digits"]
  code, said, err = finish(name, *model, *flags)
  assert code == 0, err
  return said.splitlines()[-1]


def movies(folder) -> dict[str, np.ndarray]:
  """The movies of a folder in the order of their names, sense -> [movies, frames, *shape]."""
  clips = [dict(np.load(path)) for path in sorted(folder.rglob("*.npz"))]
  return {name: np.stack([clip[name] for clip in clips]) for name in clips[0]}


def generated(*flags):
  """A function that makes movies by experiments.generate with `flags`."""

  def make(folder):
    program("generate", f"--out={folder / 'out'}", *flags)
    return movies(folder / "out")

  return make


def asked(*prompts) -> list[str]:
  return [f"--prompt={text}" for text in prompts]


@functools.cache
def real(count: int = 64):
  """Real test clips: (sense -> [clips, frames, *shape], factor -> labels)."""
  examples = [SOURCE[i] for i in range(count)]
  clip = {name: np.stack([e["clip"][name] for e in examples]) for name in examples[0]["clip"]}
  return clip, {name: np.array([e["labels"][name] for e in examples]) for name in LABELS}


def real_movie(folder, index: int = 0):
  """Writes a real clip as experiments.generate writes movies; returns its path and its prompt."""
  example = SOURCE[index]
  prompt = caption(example["labels"])
  save_movie(folder, "real", example["clip"], SOURCE.senses, {"prompt": prompt})
  return folder / "real.npz", prompt


@functools.cache
def reader():
  return fitted_reader(Digits(canvas=16, frames=8, split="train"))


def read(clip) -> list[str]:
  """What is seen in each clip, as a caption."""
  labels = reader()(clip["sight"]).labels
  return [caption({name: int(labels[name][i]) for name in LABELS}) for i in range(len(clip["sight"]))]


def travels(clip) -> np.ndarray:
  """How far the ink of each clip moves from frame to frame on average, in pixels."""
  return np.linalg.norm(np.diff(track(clip["sight"])["path"], axis=1), axis=-1).mean(1)


def shares(clip, prompts) -> float:
  """The share of words of the prompts that are seen."""
  pairs = [(a.split(), b.split()) for a, b in zip(read(clip), prompts, strict=True)]
  return float(np.mean([x == y for a, b in pairs for x, y in zip(a, b, strict=True)]))


# Applications.


@case("Text to video", generated(*asked(*ASKED)))
def _(clip):
  return shares(clip, sorted(ASKED)) > 0.9 and travels(clip).min() > 0.3


@case("Unconditional", generated("--prompt=", "--seed=1"))
def _(clip):
  ink = intensity(clip["sight"]).max(-1).sum((2, 3))
  return 5 < ink.min() and ink.max() < 100 and travels(clip).min() > 0.3


def continued(folder):
  """A movie that begins with a picture of a real clip."""
  picture = np.rint(255 * intensity(SOURCE[3]["clip"]["sight"][0])).astype(np.uint8)
  (folder / "first.png").write_bytes(png(picture.repeat(4, 0).repeat(4, 1)))
  program("generate", "--prompt=", f"--first_frame={folder / 'first.png'}", f"--out={folder / 'out'}")
  return movies(folder / "out")


@case("Image to video", continued)
def _(clip):
  first = SOURCE[3]["clip"]["sight"][0]
  return np.abs(clip["sight"][0, 0] - first).mean() < 0.05 and travels(clip).min() > 0.3


def filled(mask: Callable | str):
  """A function that makes anew what `mask` names of a real clip."""

  def make(folder):
    path, text = real_movie(folder, 5)
    words = mask if isinstance(mask, str) else mask(folder)
    program("generate", f"--input={path}", f"--mask={words}", f"--prompt={text}", f"--out={folder / 'out'}")
    return movies(folder / "out")

  return make


def differs(clip, index: int, where=slice(None)) -> float:
  """Mean absolute difference of sight from a real clip at `where`."""
  return float(np.abs(clip["sight"][0] - SOURCE[index]["clip"]["sight"])[where].mean())


@case("Video prediction", filled("last:4"))
def _(clip):
  return differs(clip, 5, slice(0, 4)) < 1e-6 and travels({"sight": clip["sight"][:, 3:]}).min() > 0.3


def middle(folder):
  mask = np.zeros((8, 16, 16), np.uint8)
  mask[2:6] = 1
  np.save(folder / "middle.npy", mask)
  return folder / "middle.npy"


@case("Interpolation", filled(middle))
def _(clip):
  real = SOURCE[5]["clip"]["sight"]
  straight = np.linspace(real[1], real[6], 6)[1:5]  # A cross-fade.
  error = np.square(clip["sight"][0, 2:6] - real[2:6]).mean()
  return error < np.square(straight - real[2:6]).mean()


@case("In-painting and out-painting", filled("left"))
def _(clip):
  is_known = differs(clip, 5, (slice(None), slice(None), slice(8, 16))) < 1e-6
  return is_known and shares(clip, [caption(SOURCE[5]["labels"])]) > 0.8


@case("Video to sound and other senses", filled("sound,touch,smell,taste"))
def _(clip):
  scores = agreement(clip, reader()(clip["sight"]))
  return differs(clip, 5) < 1e-6 and min(scores.values()) > 0.7


@case("Long video", generated("--seconds=8", *asked(ASKED[0])))
def _(clip):
  measure = Liveliness(window=8, real_change=change_of(real()[0]["sight"]))
  measure.add(clip["sight"])
  return measure.scores()["liveliness"] > 0.4


def scripted(folder):
  (folder / "s.yaml").write_text(
    "- {at: 0, prompt: a red seven moves left quickly}\n- {at: 2, prompt: a blue seven moves left quickly}\n"
  )
  program("generate", f"--script={folder / 's.yaml'}", "--seconds=4", f"--out={folder / 'out'}")
  return movies(folder / "out")


@case("Changing prompts", scripted)
def _(clip):
  early, late = (read({"sight": clip["sight"][:, i : i + 8]})[0].split()[1] for i in (0, 24))
  return (early, late) == ("red", "blue") and travels(clip).min() > 0.2


@case("Stories", lambda folder: story(folder))
def _(clip):
  said = [ASKED[0], ASKED[0].replace("red", "blue")]
  return sorted(read(clip)) == sorted(said) and travels(clip).min() > 0.3


def story(folder):
  prompts = asked(ASKED[0], ASKED[0].replace("red", "blue"))
  program("story", *prompts, f"--out={folder / 'out'}")
  return movies(folder / "out")


@case("Text-guided editing", lambda folder: edited(folder))
def _(clip):
  return shares(clip, [caption({**SOURCE[5]["labels"], "digit": 7})]) > 0.9 and travels(clip).min() > 0.3


def edited(folder):
  path, _ = real_movie(folder, 5)
  prompt = caption({**SOURCE[5]["labels"], "digit": 7})
  program("edit", f"--input={path}", f"--prompt={prompt}", f"--out={folder / 'out'}")
  every = movies(folder / "out")
  return {name: x[[_edited_row(folder / "out")]] for name, x in every.items()}


def _edited_row(out) -> int:
  """The row of the edited movie; the other is its source."""
  names = sorted(path.with_suffix(".json") for path in out.rglob("*.npz"))
  return next(
    i for i, path in enumerate(names) if not json.loads(path.read_text())["prompt"].startswith("source")
  )


@case("Another size", generated("--height=16", "--width=24", *asked(ASKED[0])))
def _(clip):
  return clip["sight"].shape[2:4] == (16, 24) and travels(clip).min() > 0.3


@case("Few solver steps", generated("--steps=6", "--solver=multistep", *asked(*ASKED)))
def _(clip):
  return shares(clip, sorted(ASKED)) > 0.9 and travels(clip).min() > 0.3


CLASSIFIED = (5, 9)


def to_classify(folder):
  clips = [SOURCE[i]["clip"] for i in CLASSIFIED]
  return {name: np.stack([clip[name] for clip in clips]) for name in clips[0]}


@case("Classification by prompts", to_classify)
def _(clip):
  factors = [SOURCE[i]["labels"] for i in CLASSIFIED]
  prompts = [
    caption({**labels, "direction": way}) for labels in factors for way in range(LABELS["direction"])
  ]
  with tempfile.TemporaryDirectory() as name:
    for i in range(len(factors)):
      senses = {sense: SOURCE.senses[sense] for sense in clip}
      save_movie(Path(name), str(i), {sense: x[i] for sense, x in clip.items()}, senses, {"prompt": ""})
    files = [f"--input={name}/{i}.npz" for i in range(len(factors))]
    code, said, err = finish("classify", "--workdir=digits", *files, *asked(*prompts), "--senses=sight")
  assert code == 0, err
  return [json.loads(line)["prompt"] for line in said.splitlines()] == [caption(labels) for labels in factors]


@case("Personalisation", lambda folder: adapted(folder))
def _(clip):
  return travels(clip).min() > 0.3 and shares(clip, sorted(ASKED)) > 0.7


def adapted(folder):
  """Movies with a LoRA of the packaged model that was trained for a few steps."""
  flags = [
    "--config.adapter.name=lora",
    "--config.training.init_from=stale_jax/weights/digits.safetensors",
    "--config.training.steps=2",
  ]
  flags += ["--config.training.batch=4", "--config.training.checkpoint_every=2", "--config.ema.snapshots=0"]
  flags += ["--config.optimizer.name=adamw"]
  program("train", "--config=configs/digits.py", f"--workdir={folder / 'lora'}", *flags)
  program("generate", f"--adapters={folder / 'lora'}", *asked(*ASKED), f"--out={folder / 'out'}")
  return movies(folder / "out")


# Metrics, on real clips.


def real_clips(folder):
  return real()[0]


@case("Caption accuracy (in place of CLIP similarity)", real_clips)
def _(clip):
  _, labels = real()
  found = reader()(clip["sight"]).labels
  return np.mean([found[name] == labels[name] for name in LABELS]) > 0.95


@functools.cache
def _training(count: int):
  """Sight of training clips."""
  source = Digits(canvas=16, frames=8, split="train", seed=1)
  return np.stack([source[i]["clip"]["sight"] for i in range(count)])


def _features(sight):
  return reader()(sight).features


@case("Fréchet distance of clips (in place of FVD)", real_clips)
def _(clip):
  frames = clip["sight"], clip["sight"][:, [4, 1, 6, 3, 0, 7, 2, 5]]
  floor, shuffled = (frechet(_features(x), _features(_training(64))) for x in frames)
  return shuffled > 1.5 * floor


@case("Kernel distance (KID, KVD)", real_clips)
def _(clip):
  noise = 0.7 * np.random.default_rng(0).standard_normal(clip["sight"].shape).astype(np.float32)
  both = clip["sight"], np.clip(clip["sight"] + noise, -1, 1)
  near, far = (kernel_distance(_features(x), _features(_training(64))) for x in both)
  return near < 150 and far > 2 * max(near, 1)


@case("Dynamic degree (VBench)", real_clips)
def _(clip):
  found = [frame_motion(a, b).dynamic for x in clip["sight"][:8] for a, b in zip(x, x[1:], strict=False)]
  return 0.3 < np.mean(found) < 4


@case("Temporal consistency (liveliness, flicker, drift)", real_clips)
def _(clip):
  measure = Liveliness(window=8, real_change=change_of(clip["sight"]))
  measure.add(np.concatenate([clip["sight"][:8], clip["sight"][:8, ::-1]], 1))
  return measure.scores()["liveliness"] > 0.7


@case("Agreement of the senses", real_clips)
def _(clip):
  return np.mean(list(agreement(clip, reader()(clip["sight"])).values())) > 0.9


def rows() -> dict[str, str]:
  """Row of the table -> its status."""
  text = (ROOT / "docs" / "survey.md").read_text(encoding="utf-8")
  cells = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
  ]
  rows = {each[0]: each[-1] for each in cells if len(each) == 4 and each[-1] != "Status"}
  return {name: status for name, status in rows.items() if not re.fullmatch(r"-*", name)}


def test_the_table_and_the_cases_agree():
  assert {name for name, status in rows().items() if status == "done"} == set(CASES)
  for status in rows().values():
    claim = re.fullmatch(r"claim `(\w+)`", status)
    assert status in ("done", "not done") or (ROOT / "experiments" / "claims" / f"{claim[1]}.py").exists()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_row_is_done(name, tmp_path):
  make, check = CASES[name]
  clip = make(tmp_path)
  assert check(clip)
  fakes = (
    {sense: np.repeat(x[:, :1], x.shape[1], 1) for sense, x in clip.items()},
    {sense: np.full_like(x, x.mean()) for sense, x in clip.items()},
  )
  for fake in fakes:
    assert not check(fake)
