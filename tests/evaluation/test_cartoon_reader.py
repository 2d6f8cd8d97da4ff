"""The reader of cartoons: what it is asked, how it is fitted, and what the packaged one reads."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.data.sources.cartoons import Cartoons
from stale_jax.data.sources.cartoons.actions import PAIR
from stale_jax.data.sources.cartoons.labels import LABELS, name
from stale_jax.data.sources.cartoons.senses import senses
from stale_jax.errors import UserError
from stale_jax.evaluation.cartoons import accuracy
from stale_jax.evaluation.cartoons import pool as pools
from stale_jax.evaluation.cartoons.fit import Fit, loss, mirrored
from stale_jax.evaluation.cartoons.network import Network, example
from stale_jax.evaluation.cartoons.pool import draw_chunk
from stale_jax.evaluation.cartoons.questions import QUESTIONS, answers, happenings
from stale_jax.evaluation.cartoons.reader import IDENTITY, labels_of, load_reader, save_reader

SOURCE = Cartoons(split="test", combinations="all", height=16, width=16)
CLIPS = 300


@pytest.fixture(scope="module")
def drawn():
  return [SOURCE.draw(index) for index in range(CLIPS)]


def answered(takes):
  """Logits of the true answers."""
  each = [answers(take) for take in takes]
  return {q: np.eye(size)[[one[q] for one in each]] for q, size in QUESTIONS.items()}


def test_true_answers_give_all_labels(drawn):
  labels, identity = labels_of(answered(take for *_, take in drawn))
  found = accuracy([one for one, *_ in drawn], labels)
  assert {name: share for name, share in found.items() if name not in IDENTITY} == dict.fromkeys(
    [f for f in LABELS if f not in IDENTITY], 1.0
  )
  ordered = np.array([take.action != "dances_with" for *_, take in drawn])
  for factor in IDENTITY:
    assert np.array_equal(
      labels[factor][ordered], [one[factor] for one, *_ in np.array(drawn, object)[ordered]]
    )
  assert identity.shape == (CLIPS, 13)


def test_a_dance_of_two_has_no_first_figure_and_other_actions_have(drawn):
  for action in PAIR:
    wanted = [labels for labels, *_ in drawn if name(labels, "action") == action]
    read = {f: np.array([one.get(f, len(LABELS[f])) for one in wanted]) for f in LABELS}
    crossed = {**read, "character": read["character2"], "character2": read["character"]}
    crossed |= {"colour": read["colour2"], "colour2": read["colour"]}
    share = accuracy(wanted, crossed)["character"]
    assert share == (1 if action == "dances_with" else 0)


def test_what_no_caption_states_does_not_count(drawn):
  wanted = [labels for labels, *_ in drawn]
  read = {f: np.array([one.get(f, len(LABELS[f])) for one in wanted]) for f in LABELS}
  stated = np.array([" left" in words or " right" in words for _, words, _ in drawn])
  wrong = np.where(stated, read["direction"], 1 - read["direction"])
  assert accuracy(wanted, {**read, "direction": wrong})["direction"] == 1
  assert accuracy(wanted, {**read, "direction": 1 - read["direction"]})["direction"] == 0
  alone = np.array(["character2" not in one for one in wanted])
  other = np.where(alone, 0, read["character2"])
  assert accuracy(wanted, {**read, "character2": other})["character2"] == 1


def test_mirroring_keeps_answers_true(drawn):
  """The answers of a mirrored clip are those of the same take in the other direction."""
  takes = [take for *_, take in drawn]
  turned = [
    dataclasses.replace(t, labels={**t.labels, "direction": 1 - t.labels["direction"]}, start=-t.start)
    for t in takes
  ]

  def batch(takes):
    rows = [
      {
        "events": happenings(t).astype(np.float32),
        "balance": senses(t, 16, 8.0, 32.0)["balance"],
        **answers(t),
      }
      for t in takes
    ]
    columns = {name: jnp.asarray(np.stack([row[name] for row in rows])) for name in rows[0]}
    return {**columns, "sight": jnp.zeros((len(takes), 1, 2, 2, 3))}

  takes, turned = takes[:60], turned[:60]
  before, after = batch(takes), batch(turned)
  got = mirrored(before, jnp.ones(len(takes), bool))
  for key in ("events", "balance", *QUESTIONS):
    np.testing.assert_allclose(got[key], after[key], atol=1e-5, err_msg=key)
  kept = mirrored(before, jnp.zeros(len(takes), bool))
  assert all(np.array_equal(kept[key], before[key]) for key in before)


def test_blank_clips_have_finite_gradients():
  params = jax.jit(Network().init)(jax.random.key(0), example())
  batch = {"sight": jnp.zeros((4, *example().shape[1:])), "events": jnp.zeros((4, 16, 10))}
  batch |= {"balance": jnp.zeros((4, 16, 3)), **dict.fromkeys(QUESTIONS, jnp.zeros(4, int))}
  gradients = jax.jit(jax.grad(lambda p: loss(p, batch)[0]))(params)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))


def test_weights_survive_a_file(tmp_path):
  params = Network().init(jax.random.key(0), example())
  save_reader(tmp_path / "reader.safetensors", params)
  assert (tmp_path / "reader.safetensors").stat().st_size < 3.3e6
  reader = load_reader(tmp_path / "reader.safetensors")
  sight = np.random.default_rng(0).uniform(-1, 1, (2, 17, 32, 32, 3)).astype(np.float32)
  one, two = reader(sight), reader(sight[:, :16])
  np.testing.assert_array_equal(one.features, two.features)
  assert reader(sight[:, ::2], rate=4.0).features.shape == one.features.shape
  with pytest.raises(UserError, match=r"no weights of a reader of cartoons at .*none"):
    load_reader(tmp_path / "none")
  (tmp_path / "bad").write_text("nothing")
  with pytest.raises(UserError, match="no weights of a reader"):
    load_reader(tmp_path / "bad")


@pytest.mark.system
def test_fitting_learns_and_resumes(tmp_path, monkeypatch):
  monkeypatch.setattr(pools, "CHUNK", 16)
  monkeypatch.setattr(pools, "draw_chunk", lambda number: draw_chunk(number, 16))
  losses, kept = [], []
  fit = Fit(steps=12, batch=16, log_every=3, keep_every=6)
  whole = fit.run(tmp_path / "whole", lambda _, metrics: losses.append(metrics["loss"]), kept.append)
  assert losses[-1] < 0.85 * losses[0] and len(kept) == 2

  class Stop(Exception):
    pass

  def stop(params):
    raise Stop

  with pytest.raises(Stop):
    fit.run(tmp_path / "halves", lambda *_: None, stop)
  again = fit.run(tmp_path / "halves", lambda *_: None, lambda _: None)
  assert all(map(np.array_equal, jax.tree.leaves(whole), jax.tree.leaves(again)))
