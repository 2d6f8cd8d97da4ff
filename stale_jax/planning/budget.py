"""The best movie that a budget buys: steps and solver by what they cost and what they bring.

Eq. 1 of Stale Diffusion (arXiv 2404.01079): the greatest difference-of-Gaussians response such that
a cent buys at least one bit. The paper's unit, 1 Ke$ha, is one bit per cent.

  response  energy of the movie's fine bands (`objectives.response`);
  bits      its log2-likelihood under the model over that under the uniform prior
            (`evaluation.clip_bits`): what the model had to know to make it;
  cents     the device's time to sample it, once compiled, at its price.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from stale_jax.clip import Clip
from stale_jax.construct import nearest
from stale_jax.errors import UserError
from stale_jax.evaluation.likelihood import Bits, clip_bits
from stale_jax.objectives.pyramid import response
from stale_jax.planning.prices import price_per_hour
from stale_jax.sampling import SOLVERS

# Steps, each a refinement of the last.
LADDER = (1, 2, 4, 8, 16, 32, 64, 128)
KESHA = 1.0  # Bits a cent, the least that a refinement must bring.

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Offer:
  """What a candidate was measured to bring and to cost.

  Attributes:
    response: of the difference of Gaussians, to be made great.
    bits: gained over the prior.
    cents: spent.
  """

  response: float
  bits: float
  cents: float


def choose(
  ladders: Iterable[Sequence[C]], measure: Callable[[C], Offer], budget: float
) -> tuple[C, Offer] | None:
  """The candidate of greatest response that is within `budget` cents and worth them.

  Each ladder's candidates are measured from the first on, until one costs more than the budget
  or brings less than KESHA bits for each cent that it costs more than the one before it (the
  first: than nothing). That one and those after it are not taken; so a greater budget never
  chooses a lesser response.

  Args:
    ladders: candidates, each a refinement of the one before it.
    measure: tries a candidate; called at most once for each.
    budget: in cents.

  Returns:
    The candidate and its offer, or None if none is within the budget and worth it.
  """
  best = None
  for ladder in ladders:
    last = Offer(response=0.0, bits=0.0, cents=0.0)
    for candidate in ladder:
      offer = measure(candidate)
      if offer.cents > budget or offer.bits - last.bits < KESHA * (offer.cents - last.cents):
        break
      last = offer
      if best is None or offer.response > best[1].response:
        best = candidate, offer
  return best


@dataclasses.dataclass(frozen=True)
class Bought:
  """What `within_budget` returns.

  Attributes:
    clips: a batch, one clip a prompt.
    settings: of the sampler that were chosen.
    facts: of each clip: bits_per_dimension, cents, kesha; and choosing_cents, what finding out
      cost in addition, of them all together.
  """

  clips: Clip
  settings: dict[str, Any]
  facts: list[dict[str, float]]


def within_budget(
  model,
  prompts: Sequence[str],
  seeds: Sequence[int],
  cents: float,
  *,
  price: float | None = None,
  frames: int | None = None,
  solver: str | None = None,
  clock: Callable[[], float] = time.perf_counter,
  appraise: Callable[..., Bits] = clip_bits,
  ladder: Sequence[int] = LADDER,
  **overrides,
) -> Bought:
  """Samples one clip a prompt as well as `cents` for all of them allow.

  The budget is that of sampling what is delivered. Trying what is not chosen, and the likelihoods,
  cost more than that, compilation aside; `choosing_cents` says how much.

  Args:
    model: a `stale_jax.Model`.
    prompts, seeds, frames: as of `Model.sample`.
    cents: US cents.
    price: US dollars an hour; default: the device's list price.
    solver: the only one to try; default: all that the process has a use for.
    clock: seconds.
    appraise: the bits of clips.
    ladder: steps to try.
    **overrides: of `Sampling`, but for steps.

  Raises:
    UserError: the budget does not buy one step, or a setting is impossible.
  """
  if not 0 < cents < math.inf:
    raise UserError(f"budget_cents={cents}: a positive number is needed.")
  if price is None:
    price = price_per_hour(jax.devices()[0])
  if not 0 < price < math.inf:
    raise UserError(f"price_per_hour={price}: a positive number is needed.")
  if overrides.pop("steps", None) is not None:
    raise UserError("a budget chooses the steps: leave --steps or --budget_cents out.")
  if solver is not None and solver not in SOLVERS:
    raise UserError(f"unknown solver {solver!r}: {nearest(solver, SOLVERS)}")
  tried: dict[tuple[str, int], tuple[Clip, Bits]] = {}
  offers, first = [], clock()

  def sampled(candidate):
    name, steps = candidate
    settings = {**overrides, "solver": name, "steps": steps}
    return model.sample(prompts, seeds, frames=frames, room=max(ladder), **settings)

  def in_cents(seconds):
    return 100 * price * seconds / 3600

  compiling = 0.0

  def measure(candidate):
    nonlocal compiling
    began = clock()
    if candidate[1] == ladder[0]:  # Compiles; one program serves all step counts of a solver.
      sampled(candidate)
    ready = clock()
    compiling += ready - began
    clips = sampled(candidate)
    spent = in_cents(clock() - ready)
    if spent > cents:  # Whatever it would bring.
      offers.append(Offer(response=0.0, bits=0.0, cents=spent))
      return offers[-1]
    if not tried:  # Likewise.
      began = clock()
      appraise(model, prompts, clips, seeds[0])
      compiling += clock() - began
    found = appraise(model, prompts, clips, seeds[0])
    tried[candidate] = clips, found
    offers.append(Offer(float(np.sum(response(clips))), float(found.bits.sum()) * _size(clips), spent))
    return offers[-1]

  solvers = [solver] if solver else _solvers(model.system.diffusion.process)
  if not solvers:
    raise UserError("a budget is in bits, and this process has no likelihood: leave budget_cents out.")
  chosen = choose([[(name, steps) for steps in ladder] for name in solvers], measure, cents)
  if chosen is None:
    least = min(offers, key=lambda offer: offer.cents)
    why = "" if least.cents > cents else f", and brings no more than {least.bits:.3g} bits"
    raise UserError(
      f"budget_cents={cents:g} buys no movie: one step costs {least.cents:.3g} cents here, at {price:g} "
      f"US dollars an hour{why}."
    )
  candidate, offer = chosen
  clips, found = tried[candidate]
  choosing = in_cents(clock() - first - compiling) - offer.cents
  each = offer.cents / len(prompts)
  facts = [
    {
      "bits_per_dimension": round(float(bits), 3),
      "cents": float(f"{each:.3g}"),
      "kesha": float(f"{float(bits) * _size(clips) / each:.3g}"),
      "choosing_cents": float(f"{choosing:.3g}"),
    }
    for bits in found.bits
  ]
  return Bought(clips=clips, settings={"solver": candidate[0], "steps": candidate[1]}, facts=facts)


def _size(clips: Clip) -> int:
  return sum(x[0].size for x in clips.values())


def _solvers(process) -> list[str]:
  """Solvers worth trying: "ancestral" only if its steps draw noise, for else they are Euler's.

  "consistency" is for students of few steps. Without an ODE there are no bits to count.
  """
  if not process.has_flow:
    return []
  untried = {"consistency"} | (set() if process.draws_noise else {"ancestral"})
  return [name for name, solver in SOLVERS.items() if solver.fits(process) and name not in untried]
