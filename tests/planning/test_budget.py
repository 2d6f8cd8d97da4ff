"""What a budget chooses: never beyond it, never what is not worth it, and more for more."""

import types
from unittest import mock

import jax
import numpy as np
import pytest

from stale_jax.config import build
from stale_jax.errors import UserError
from stale_jax.evaluation.likelihood import Bits
from stale_jax.objectives import response
from stale_jax.pipeline import Model
from stale_jax.planning import Offer, choose, price_per_hour, within_budget
from stale_jax.processes import Reflected, UniformFlow, UniformTokens
from tests import micro

LADDERS = [[("slow", n) for n in (1, 2, 4, 8)], [("fine", n) for n in (1, 2, 4, 8)]]


def shop(asked):
  """A made-up world: 'fine' costs twice as much, and brings more; bits saturate."""

  def measure(candidate):
    name, steps = candidate
    asked.append(candidate)
    twice = 2 if name == "fine" else 1
    return Offer(response=np.sqrt(twice * steps) + twice, bits=20 * (1 - 0.5**steps), cents=twice * steps)

  return measure


def test_it_is_the_best_by_brute_force_and_never_beyond_the_budget():
  measure = shop([])
  for budget in (1.0, 1.5, 2, 3, 4, 7, 8, 16, 100):
    candidate, offer = choose(LADDERS, measure, budget)
    assert offer.cents <= budget and offer == measure(candidate)
    allowed = []
    for ladder in LADDERS:
      cheaper = Offer(0, 0, 0)
      for c in ladder:
        o = measure(c)
        if o.cents > budget or (o.bits - cheaper.bits) / (o.cents - cheaper.cents) < 1:
          break
        allowed.append(o)
        cheaper = o
    assert offer.response == max(o.response for o in allowed)
  assert choose(LADDERS, measure, 0.9) is None


def test_it_stops_where_a_cent_no_longer_buys_a_bit_and_measures_no_further():
  asked = []
  (_, steps), _ = choose(LADDERS[:1], shop(asked), 1e9)
  # 10, 15, 18.75, 19.9 bits for 1, 2, 4, 8 cents: the last four cents bring 1.2 bits.
  assert steps == 4 and asked == LADDERS[0]
  asked.clear()
  (name, steps), _ = choose(LADDERS[1:], shop(asked), 1e9)
  assert (name, steps) == ("fine", 2) and asked == LADDERS[1][:3]


def test_what_is_worth_less_than_a_bit_a_cent_is_not_bought_at_all():
  assert choose([[1, 2]], lambda n: Offer(response=9.0, bits=0.5 * n, cents=n), 100) is None
  assert choose([[1, 2]], lambda n: Offer(response=9.0, bits=-1.0, cents=1e-6), 100) is None


def test_a_greater_budget_never_chooses_a_lesser_response():
  rng = np.random.default_rng(0)
  for _ in range(200):
    table = {
      c: Offer(*rng.uniform(0, 10, 2), cents=c[1] * rng.uniform(0.5, 1.5))
      for ladder in LADDERS
      for c in ladder
    }
    found = [choose(LADDERS, table.get, budget) for budget in np.linspace(0.1, 15, 40)]
    responses = [-1 if f is None else f[1].response for f in found]
    assert responses == sorted(responses)


class Fake:
  """A model whose clips sharpen with steps and whose evaluations take a second each."""

  params = None

  def __init__(self, process):
    self.system, self.now, self.log = (
      types.SimpleNamespace(diffusion=types.SimpleNamespace(process=process)),
      0.0,
      [],
    )

  def sample(self, prompts, seeds, *, frames, room, solver, steps, **overrides):
    assert steps <= room
    self.now += steps * {"euler": 1, "heun": 2, "ancestral": 1}.get(solver, 1)
    self.log.append((solver, steps))
    rng = np.random.default_rng(0)
    return {"sight": (1 - 0.5**steps) * rng.standard_normal((len(prompts), 4, 8, 8, 3))}

  def bits(self, model, prompts, clips, seed):
    self.now += 5
    n = len(prompts)
    return Bits(bits=np.abs(clips["sight"]).mean((1, 2, 3, 4)), error=np.zeros(n), outside=np.zeros(n))

  def spend(self, cents, prompts=("a", "b"), **more):
    return within_budget(
      self, prompts, [0] * len(prompts), cents, clock=lambda: self.now, appraise=self.bits, **more
    )


# At 36 dollars an hour, a second is a cent.
@pytest.mark.parametrize(("cents", "steps"), [(1.0, 1), (3.9, 2), (4.0, 4), (9.0, 8)])
def test_within_a_budget_by_a_fake_clock(cents, steps):
  model = Fake(UniformFlow())
  bought = model.spend(cents, price=36.0, solver="euler")
  assert bought.settings == {"solver": "euler", "steps": steps}
  facts = bought.facts[0]
  assert facts["cents"] == pytest.approx(steps / 2) and 2 * facts["cents"] <= cents
  size = 4 * 8 * 8 * 3
  assert facts["kesha"] == pytest.approx(facts["bits_per_dimension"] * size / facts["cents"], rel=0.01)
  # All that was tried, less what compiled and what was delivered; the last, too dear, is not appraised.
  tried = [n for _, n in model.log[1:]]
  assert tried == [1, 2, 4, 8, 16][: len(tried)] and tried[-1] > cents
  assert facts["choosing_cents"] == pytest.approx(sum(tried) + 5 * len(tried[:-1]) - steps, rel=0.01)
  want = model.sample(["a", "b"], [0, 0], frames=None, room=steps, solver="euler", steps=steps)
  np.testing.assert_array_equal(response(bought.clips), response(want))


def test_every_solver_is_tried_and_ancestral_where_it_is_another():
  for process, other in ((UniformFlow(), False), (Reflected(), True)):
    model = Fake(process)
    model.spend(4.0, price=36.0)
    assert {"euler", "heun"} <= {name for name, _ in model.log}
    assert ("ancestral" in {name for name, _ in model.log}) == other


def test_impossible_budgets_are_one_line():
  for kwargs, words in (
    ({"cents": 0.5, "price": 36.0}, "buys no movie: one step costs 1 cents"),
    ({"cents": -1.0}, "budget_cents=-1"),
    ({"cents": 1.0, "price": 0.0}, "price_per_hour=0"),
    ({"cents": 1.0, "steps": 4}, "chooses the steps"),
    ({"cents": 1.0, "solver": "eulr"}, "did you mean 'euler'"),
  ):
    with pytest.raises(UserError, match=words):
      Fake(UniformFlow()).spend(**kwargs)


def test_prices():
  def device(platform: str, kind: str):
    return mock.Mock(spec=jax.Device, platform=platform, device_kind=kind)

  assert price_per_hour(device("tpu", "TPU v5 lite")) < price_per_hour(device("tpu", "TPU v5p"))
  assert price_per_hour(device("cpu", "cpu")) > 0
  with pytest.raises(UserError, match="price_per_hour"):
    price_per_hour(device("gpu", "Abacus"))
  # An L40S is no L4, an A1000 no A100.
  for kind in ("NVIDIA L40S", "NVIDIA RTX A1000"):
    with pytest.raises(UserError, match="no price is known"):
      price_per_hour(device("gpu", kind))
  assert price_per_hour(device("gpu", "NVIDIA A100-SXM4-40GB")) == 3.67


def test_what_has_no_bits_or_no_choice_of_steps_has_no_budget():
  with pytest.raises(UserError, match="a budget needs likelihoods"):
    Fake(UniformTokens()).spend(1.0, price=1.0)
  student = build(micro.config(sampling__solver="consistency", sampling__guidance=1.0))
  with pytest.raises(UserError, match="leave out budget_cents"):
    Model(student, {}, "student").generate("a red two", budget_cents=1.0)
