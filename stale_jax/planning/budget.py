"""Sampling within a budget: chooses solver and steps by measured price and measured quality.

Eq. 1 of Stale Diffusion (arXiv 2404.01079): maximize the difference-of-Gaussians response, subject to at
least one bit per cent. The paper calls this unit, one bit per cent, 1 Ke$ha.

  response  energy of the fine bands of the movie (`objectives.response`);
  bits      log2-likelihood of the movie under the model, minus that under the uniform prior
            (`evaluation.clip_bits`): the information that the model contributes;
  cents     time that the device needs to sample the movie, without compiling, times its price.
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
from stale_jax.mesh import mesh_of
from stale_jax.objectives.pyramid import response
from stale_jax.planning.prices import price_per_hour
from stale_jax.sampling import SOLVERS

# Numbers of solver steps, each a refinement of the one before.
LADDER = (1, 2, 4, 8, 16, 32, 64, 128)
KESHA = 1.0  # Minimum gain of a refinement, in bits per cent of additional price.

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Offer:
  """Measured quality and price of a candidate (a setting of the sampler), summed over the sampled clips.

  Attributes:
    response: difference-of-Gaussians response of the clips, which is maximized.
    bits: log2-likelihood of the clips under the model, minus that under the uniform prior.
    cents: price of sampling the clips, in US cents.
  """

  response: float
  bits: float
  cents: float


def choose(
  ladders: Iterable[Sequence[C]], measure: Callable[[C], Offer], budget: float
) -> tuple[C, Offer] | None:
  """The candidate with the greatest response among those that are within the budget and worth their price.

  The candidates of a ladder are measured in order. A candidate is rejected, together with all later ones, if
  it exceeds the budget, or if it gains fewer than KESHA bits per additional cent over the candidate before it
  (for the first candidate: over 0 bits for 0 cents). A greater budget therefore never chooses a smaller
  response.

  Args:
    ladders: lists of candidates, each a refinement of the one before it.
    measure: measures a candidate; called at most once for each.
    budget: budget in US cents.

  Returns:
    The candidate and its offer, or None if no candidate qualifies.
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
  """The result of `within_budget`.

  Attributes:
    clips: a batch, one clip per prompt.
    settings: the chosen settings of the sampler.
    facts: for each clip: bits_per_dimension; cents, its price; kesha, its bits per cent; and choosing_cents,
      the additional price of choosing the settings, for all clips together.
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
  """Samples one clip per prompt, with the best settings that `cents` for all clips allow.

  The budget covers the sampling of the returned clips. Trying other settings and computing likelihoods cost
  extra; `choosing_cents` reports this price, without the time of compilation.

  Args:
    model: a `stale_jax.Model`.
    prompts, seeds, frames: as for `Model.sample`.
    cents: budget in US cents.
    price: US dollars per hour and device; default: the list price of the device.
    solver: the only solver to try; default: all solvers that suit the process.
    clock: returns a time in seconds.
    appraise: (model, prompts, clips, seed) -> the bits of the clips.
    ladder: numbers of steps to try, in ascending order.
    **overrides: settings of `Sampling`, except steps.

  Raises:
    UserError: the budget is too small for one step, or a setting is invalid.
  """
  if not 0 < cents < math.inf:
    raise UserError(f"budget_cents={cents}: give a positive number.")
  if jax.process_count() > 1:
    raise UserError("a budget is measured by one process: leave out budget_cents, or run a single process.")
  mesh = mesh_of(model.params)
  if price is None:
    price = price_per_hour(jax.devices()[0])
  price *= 1 if mesh is None else mesh.size
  if not 0 < price < math.inf:
    raise UserError(f"price_per_hour={price}: give a positive number.")
  if overrides.pop("steps", None) is not None:
    raise UserError("a budget chooses the steps: leave out --steps or --budget_cents.")
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
    if candidate[1] == ladder[0]:  # Compiles: one program per solver, for all numbers of steps.
      sampled(candidate)
    ready = clock()
    compiling += ready - began
    clips = sampled(candidate)
    spent = in_cents(clock() - ready)
    if spent > cents:  # Rejected, so its quality is not measured.
      offers.append(Offer(response=0.0, bits=0.0, cents=spent))
      return offers[-1]
    if not tried:  # Compiles.
      began = clock()
      appraise(model, prompts, clips, seeds[0])
      compiling += clock() - began
    found = appraise(model, prompts, clips, seeds[0])
    tried[candidate] = clips, found
    offers.append(Offer(float(np.sum(response(clips))), float(found.bits.sum()) * _size(clips), spent))
    return offers[-1]

  solvers = [solver] if solver else _solvers(model.system.diffusion.process)
  if not solvers:
    raise UserError("a budget needs likelihoods, and this process has none: leave out budget_cents.")
  chosen = choose([[(name, steps) for steps in ladder] for name in solvers], measure, cents)
  if chosen is None:
    least = min(offers, key=lambda offer: offer.cents)
    why = "" if least.cents > cents else f", and gains no more than {least.bits:.3g} bits"
    raise UserError(
      f"budget_cents={cents:g} buys no movie: one step costs {least.cents:.3g} cents here, at {price:g} "
      f"US dollars per hour{why}."
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
  """Names of the solvers worth trying.

  "ancestral" equals Euler if the process draws no noise; "consistency" is for distilled models; the relatives
  of "multistep" cost the same. Without a probability-flow ODE there is no likelihood, and the list is empty.
  """
  if not process.has_flow:
    return []
  untried = {"consistency", "dpmpp_2m", "dpmpp_2m_sde", "unipc"} | (
    set() if process.draws_noise else {"ancestral"}
  )
  return [name for name, solver in SOLVERS.items() if solver.fits(process) and name not in untried]
