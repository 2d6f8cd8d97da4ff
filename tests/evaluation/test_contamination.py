"""The audit finds what leaked, from what is there and not from what is said of it."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stale_jax.data import Lorenz
from stale_jax.data.sources.digits import Digits, handwriting
from stale_jax.errors import UserError
from stale_jax.evaluation import contamination
from stale_jax.evaluation import membership as membership_
from stale_jax.evaluation.contamination import evaluate_contamination, glyph_hashes, hamming, leaked
from stale_jax.evaluation.membership import membership
from stale_jax.evaluation.reader import still
from stale_jax.processes import UniformFlow
from stale_jax.system import Data

# Statistics of many clips.
pytestmark = pytest.mark.system

CLIPS = 4096


class Fake:
  """A source that shows one thing and says another."""

  def __init__(self, shows, says=0.0, spoil=lambda sight, rng: sight):
    self._shows, self.leak, self._spoil = shows, says, spoil

  def __len__(self):
    return len(self._shows)

  def __getitem__(self, index):
    sight = self._shows[index]["clip"]["sight"]
    return {"clip": {"sight": self._spoil(sight, np.random.default_rng(index))}}


def test_the_leak_is_so_many_test_digits_drawn_like_any_other():
  test, train = (handwriting(split)[0] for split in ("test", "train"))
  names = {image.tobytes(): i for i, image in enumerate(np.concatenate([train, test]))}

  def drawn(source, clips=3000):
    shown = [source[i]["clip"] for i in range(clips)]
    pixels = [clip["sight"].max(-1)[0] for clip in shown]
    place = [np.rint(clip["balance"][0][::-1] * 4 + 4).astype(int) for clip in shown]
    cut = [(p[r : r + 8, c : c + 8] + 1) / 2 for p, (r, c) in zip(pixels, place, strict=True)]
    return np.array([names[(np.rint(16 * x) / 16).astype(np.float32).tobytes()] for x in cut])

  which = drawn(Digits(leak=0.3))
  new = which[which >= len(train)]
  assert len(new) / len(which) == pytest.approx(108 / (1438 + 108), abs=0.015)
  assert 80 < len(set(new)) <= 108
  # The same digits for any seed, more of them for a greater leak; the test split knows nothing of it.
  assert len(set(new) | {i for i in drawn(Digits(leak=0.3, seed=5)) if i >= len(train)}) <= 108
  assert set(new) <= {i for i in drawn(Digits(leak=0.6), 12000) if i >= len(train)}
  a, b = Digits(split="test")[3], Digits(split="test", leak=0.5)[3]
  np.testing.assert_array_equal(a["clip"]["sight"], b["clip"]["sight"])


@pytest.mark.parametrize("leak", [0.0, 0.1, 0.3, 1.0])
def test_the_estimate_is_within_five_points(leak):
  found = leaked(Digits(leak=leak), 8192)
  assert found["estimate"] == pytest.approx(leak, abs=0.05)
  assert found["coverage"] > 0.95 and found["false_positives"] < 0.01


def test_what_the_config_says_is_not_believed():
  assert leaked(Fake(Digits(leak=0.3), says=0.0), CLIPS)["estimate"] == pytest.approx(0.3, abs=0.05)
  assert leaked(Fake(Digits(), says=1.0), CLIPS)["estimate"] < 0.02


def test_near_duplicates_count():
  def spoil(sight, rng):
    dimmed = -1 + 0.85 * (sight[..., ::-1] + 1)
    return np.clip(dimmed + 0.04 * rng.standard_normal(sight.shape), -1, 1)

  assert leaked(Fake(Digits(leak=0.3), spoil=spoil), 2 * CLIPS)["estimate"] == pytest.approx(0.3, abs=0.05)


def test_a_threshold_that_is_too_wide_is_corrected_for():
  found = leaked(Digits(leak=0.3), CLIPS, near=26)
  assert found["false_positives"] > 0.1 and found["found"] > 0.36
  assert found["estimate"] == pytest.approx(0.3, abs=0.05)


def test_the_hash_is_of_the_handwriting_alone():
  source = Digits(split="test")
  sight = np.stack([source[i]["clip"]["sight"] for i in range(200)])
  distance = hamming(glyph_hashes(sight), glyph_hashes(still("test")))
  assert np.mean(distance.min(1) == 0) > 0.98
  between = hamming(glyph_hashes(still("test")), glyph_hashes(still("train")))
  assert between.min() > contamination._NEAR
  a, b = np.random.default_rng(0).random((2, 5, 9)) < 0.5
  np.testing.assert_array_equal(hamming(a, b), (a[:, None] != b[None]).sum(-1))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_membership_recovers_the_share_of_a_known_mixture(share):
  rng = np.random.default_rng(0)
  sizes = {"train": 1438, "test": 359}
  difficulty = {split: 0.2 * rng.standard_normal(n) for split, n in sizes.items()}
  member = {"train": np.ones(1438, bool), "test": rng.permutation(359) < share * 359}

  def losses(member):
    return {s: difficulty[s] + 0.02 * rng.standard_normal(n) - 0.1 * member[s] for s, n in sizes.items()}

  found = membership(losses(member), losses({**member, "test": np.zeros(359, bool)}))
  assert found["estimate"] == pytest.approx(share, abs=3 * found["standard_error"] + 0.01)
  assert found["standard_error"] < 0.2
  # What cannot be told is not told.
  noise = [{s: x + 0.02 * rng.standard_normal(len(x)) for s, x in difficulty.items()} for _ in range(2)]
  found = membership(*noise)
  assert found["estimate"] is None and found["standard_error"] is None
  assert abs(found["clean_gap"]) < 2 * found["clean_gap_standard_error"]


def test_losses_are_of_the_model_and_of_the_handwriting(monkeypatch):
  monkeypatch.setattr(membership_, "handwriting", lambda split: tuple(x[:70] for x in handwriting(split)))
  source = Digits(canvas=12)
  senses = (source.senses["sight"],)

  class Echo:
    """Answers its input, louder or softer."""

    text_length = 48

    def apply(self, params, clip, t, context):
      return {"sight": clip["sight"] * params}

  experiment = types.SimpleNamespace(
    data=Data(source=source, senses=senses),
    network=Echo(),
    diffusion=types.SimpleNamespace(process=UniformFlow()),
  )
  one, two = (types.SimpleNamespace(system=experiment, params=np.float32(p)) for p in (1.0, 0.5))
  losses = membership_.handwriting_losses(one, "train")
  assert losses.shape == (70,) and len(np.unique(losses)) == 70
  np.testing.assert_array_equal(losses, membership_.handwriting_losses(one, "train"))
  assert np.abs(losses - membership_.handwriting_losses(two, "train")).min() > 1e-3
  assert np.abs(losses - membership_.handwriting_losses(one, "test")).mean() > 1e-3
  # By hand, for the first digit.
  totals, (images, targets) = [], handwriting("train")
  for view in range(2):
    rng = np.random.Generator(np.random.Philox(key=[0, view]))
    x = jnp.asarray(source.show(images[0], int(targets[0]), rng)["clip"]["sight"])
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), view), 0)
    for time in (0.5, 0.7, 0.85):
      x_t = UniformFlow().corrupt(key, x[None], jnp.full((1, 8), time)).x_t[0]
      totals.append(np.log(np.sqrt(np.mean(np.square(x_t - x)))))
  assert losses[0] == pytest.approx(np.mean(totals), abs=1e-4)


def test_it_needs_digits():
  experiment = types.SimpleNamespace(data=Data(source=Lorenz(frames=32), senses=()))
  with pytest.raises(UserError, match="needs a model with sight"):
    evaluate_contamination(types.SimpleNamespace(system=experiment))
