"""From a trained run to movies and scores, by the programs, and what they say when misused."""

import base64
import json
import shutil
import zlib

import jax
import numpy as np
import pytest

from stale_jax.checkpoints import excavate, find_snapshots
from stale_jax.checkpoints.weights import load_weights
from stale_jax.media import read_arrays
from tests.programs import finish


@pytest.fixture(scope="module")
def run(micro_run, tmp_path_factory):
  """A copy, in which scores are kept."""
  return shutil.copytree(micro_run, tmp_path_factory.mktemp("run") / "micro")


@pytest.mark.slow
def test_evaluate_then_generate(run, tmp_path):
  code, out, err = finish(
    "evaluate", f"--workdir={run}", "--suite=captions", "--clips=12", f"--sheet={tmp_path / 'sheet.png'}"
  )
  assert code == 0, err
  scores = json.loads(out.splitlines()[-1])
  keys = "digit colour direction speed sense_f1 frechet frechet_floor kid kid_floor nearest_train real"
  assert set(keys.split()) <= set(scores) and scores["real"]["colour"] > 0.9
  assert json.loads((run / "evaluation.json").read_text()) == {"captions": scores}
  assert scores["clips"] == 12 and scores["how"]["steps"] == 4
  assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")

  prompts = ["a red seven moves left quickly", "ein blaues <b>Ü</b>"]
  asked = [f"--prompt={prompt}" for prompt in prompts]
  movies = f"--out={tmp_path / 'movies'}"
  code, out, err = finish("generate", f"--workdir={run}", movies, *asked, "--codec=vp9")
  assert code == 0, err
  names = sorted(path.name for path in (tmp_path / "movies").iterdir())
  assert [name for name in names if name.endswith(".webm")] == [
    "a-red-seven-moves-left-quickly-0.webm",
    f"ein-blaues-b-ü-b-{zlib.crc32(prompts[1].encode()):08x}-0.webm",
  ]
  assert "index.html" in names and len(names) >= 7
  page = (tmp_path / "movies" / "index.html").read_text()
  assert f"{scores['digit']:.3f}" in page and "ein blaues &lt;b&gt;" in page and "--codec=vp9" in page

  # The same seed makes the same movie alone, by another program; and one twice as long is twice as long.
  alone, longer = tmp_path / "alone", tmp_path / "longer"
  for folder, more in ((alone, []), (longer, ["--seconds=1"])):
    code, _, err = finish("generate", f"--workdir={run}", f"--out={folder}", asked[0], *more)
    assert code == 0, err
  clips = [
    read_arrays(folder / "a-red-seven-moves-left-quickly-0")[0]["sight"]
    for folder in (tmp_path / "movies", alone, longer)
  ]
  np.testing.assert_allclose(clips[0], clips[1], atol=1e-5)
  assert len(clips[1]) == 4 and len(clips[2]) == 8


def test_a_long_movie_is_followed_and_shown(run, tmp_path):
  run, plot = shutil.copytree(run, tmp_path / "run"), tmp_path / "plot.svg"
  asked = ("--suite=liveliness", "--clips=2", "--seconds=1.2", f"--plot={plot}")
  code, out, err = finish("evaluate", f"--workdir={run}", *asked)
  assert code == 0, err
  scores = json.loads(out.splitlines()[-1])
  # Three windows of four frames, of which a model that has hardly been trained makes no movie.
  assert scores["frames"] == 12 and scores["how"]["seconds"] == 1.5 and not scores["rolled_out"]
  assert len(scores["curves"]["retention"]) == len(scores["real"]["curves"]["retention"]) == 3
  assert scores["real"]["liveliness"] > 0.8 > scores["liveliness"]
  assert json.loads((run / "evaluation.json").read_text())["liveliness"] == scores
  assert plot.read_text().startswith("<svg")
  code, _, err = finish("generate", f"--workdir={run}", "--prompt=a red two", f"--out={tmp_path / 'movies'}")
  assert code == 0, err
  page = (tmp_path / "movies" / "index.html").read_text()
  assert base64.b64encode(plot.read_bytes()).decode() in page
  assert page.count("does not count") == len(scores["notes"]) - 1 >= 6


def test_excavation_measures_lengths_that_were_never_tracked(run, tmp_path):
  best = tmp_path / "best.safetensors"
  asked = (f"--workdir={run}", "--std=.1,.07", "--clips=8", f"--out={best}")
  code, out, err = finish("excavate", *asked, JAX_LOG_COMPILES="1")
  assert code == 0, err
  assert err.count("Finished XLA compilation of jit(run)") == 1
  result = json.loads(out.splitlines()[-1])
  assert json.loads((run / "excavation.json").read_text()) == result
  assert [row["std"] for row in result["excavated"]] == [0.07, 0.1] and result["best"] in (0.07, 0.1)
  assert result["step"] == 40 and result["snapshots"] == 12 and result["frechet_floor"] > 0
  assert all({"frechet", "kid", "digit"} <= set(row) for row in (result["own"], *result["excavated"]))
  weights, _ = load_weights(best)
  want = excavate(find_snapshots(run), result["best"])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), weights, want)


def test_bits_of_real_clips_are_a_suite(run):
  code, out, err = finish("evaluate", f"--workdir={run}", "--suite=likelihood", "--clips=4")
  assert code == 0, err
  scores = json.loads(out.splitlines()[-1])
  assert scores["suite"] == "likelihood" and np.isfinite(scores["bits_per_dimension"])
  assert scores["error"] > 0 and scores["hutchinson_error"] > 0 and 0 <= scores["outside"] <= 1
  assert scores["clips"] == 4 and scores["steps"] == 64


@pytest.mark.slow
def test_a_budget_buys_a_movie_and_says_what_it_cost(tmp_path):
  prompt, out = "a red seven moves left quickly", tmp_path / "movies"
  bought = ("--budget_cents=0.1", "--price_per_hour=1", "--solver=euler")
  code, said, err = finish("generate", "--workdir=digits", f"--prompt={prompt}", f"--out={out}", *bought)
  assert code == 0, err
  info = json.loads((out / "a-red-seven-moves-left-quickly-0.json").read_text())
  assert info["solver"] == "euler" and info["steps"] in (1, 2, 4, 8, 16, 32, 64, 128)
  assert 0 < info["cents"] <= 0.1 and info["choosing_cents"] > 0
  dimensions = 8 * (16 * 16 * 3 + 11 + 4 + 6 + 5)
  assert info["bits_per_dimension"] > 1
  assert info["kesha"] == pytest.approx(info["bits_per_dimension"] * dimensions / info["cents"], rel=0.02)
  assert "Ke$ha" in said and f"{info['cents']} cents" in said
  assert f"cents {info['cents']}" in (out / "index.html").read_text()


@pytest.mark.parametrize(
  ("name", "arguments", "words"),
  [
    ("generate", ["--prompt= ", "--out={new}"], "only white space"),
    ("generate", ["--prompt=a", "--out={file}/x"], "cannot write"),
    ("generate", ["--prompt=a", "--out={new}", "--codec=h265"], "did you mean 'h264'"),
    ("generate", ["--prompt=a", "--out={new}", "--solver=eulr"], "eulr"),
    ("generate", ["--prompt=a", "--out={new}", "--steps=0"], "steps=0"),
    ("generate", ["--prompt=a", "--out={new}", "--seconds=-1"], "seconds=-1"),
    ("generate", ["--prompt=a", "--out={new}", "--guidance=nan"], "guidance=nan"),
    ("generate", ["--prompt=" + 30 * "ы", "--out={new}"], "60 bytes"),
    ("generate", ["--prompt=a", "--out={new}", "--workdir={file}/none"], "no weights at"),
    ("generate", ["--prompt=a", "--out={new}", "--workdir={file}"], "not a weights file"),
    ("generate", ["--prompt=a", "--out={new}", "--budget_cents=1e-9"], "buys no movie: one step costs"),
    ("generate", ["--prompt=a", "--out={new}", "--budget_cents=0"], "budget_cents=0"),
    ("generate", ["--prompt=a", "--out={new}", "--budget_cents=1", "--steps=4"], "chooses the steps"),
    ("generate", ["--prompt=a", "--out={new}", "--price_per_hour=1"], "budget_cents too"),
    ("generate", ["--out={new}"], "--prompt"),
    ("evaluate", ["--suite=caption"], "did you mean 'captions'"),
    ("evaluate", ["--suite=denoising", "--steps=3"], "leave out --steps"),
    ("evaluate", ["--suite=captions", "--clips=0"], "clips=0"),
    ("evaluate", ["--suite=captions", "--seconds=3", "--plot={new}"], "leave out --seconds, --plot"),
    ("evaluate", ["--suite=liveliness", "--seconds=.4"], "more than 0.5 are needed"),
    ("excavate", ["--std=.01", "--out={new}/x"], "std=0.01 is out of reach"),
    ("excavate", ["--std=.5", "--out={new}/x"], "relative standard deviation of 0.5"),
    ("excavate", ["--std=a,.1"], "--std=a,.1"),
    ("excavate", ["--workdir=digits"], "no snapshots"),
    ("excavate", ["--workdir={file}/none"], "no weights at"),
    ("evaluate", ["--suite=likelihood", "--clips=1"], "clips=1"),
    ("evaluate", ["--suite=likelihood", "--guidance=2"], "--guidance"),
    ("reproduce", ["--claim=prior_is_unifrom"], "did you mean 'prior_is_uniform'"),
  ],
)
def test_misuse_is_one_line_and_leaves_nothing(run, tmp_path, name, arguments, words):
  (tmp_path / "file").write_text("x")
  places = {"new": tmp_path / "new", "file": tmp_path / "file"}
  arguments = [argument.format(**places) for argument in arguments]
  if name != "reproduce" and not any(a.startswith("--workdir") for a in arguments):
    arguments.append(f"--workdir={run}")
  code, out, err = finish(name, *arguments)
  assert code == 2, (out, err)
  assert err.startswith("error: ") and err.count("\n") == 1 and words in err
  assert not (tmp_path / "new").exists()


def test_help_is_there():
  code, out, _ = finish("generate", "--help")
  assert "--prompt" in out and "--guidance" in out


def test_claims_are_listed():
  code, out, _ = finish("reproduce", "--list")
  assert code == 0
  names = [line.split()[0] for line in out.splitlines()]
  for claim in (
    *("prior_is_uniform", "infinite_steps_recover_data", "stays_in_the_box"),
    *("senses_agree", "resume_is_exact_slow", "faster_than_torch_slow"),
  ):
    assert claim in names


def test_a_claim_ends_in_json_and_its_exit_code():
  code, out, err = finish("reproduce", "--claim=prior_is_uniform")
  result = json.loads(out.splitlines()[-1])
  assert code == 0, err
  assert result["claim"] == "prior_is_uniform" and result["holds"] and result["value"] <= result["bar"]
  assert result["seed"] == 0 and "jax" in result["machine"]
