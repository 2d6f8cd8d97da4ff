"""What the claims on cartoons share: the fakes that must fail."""

from collections.abc import Callable, Sequence
from typing import Any


def judged(
  measured: Callable[[Any], dict], models: Sequence[type], model, bar: float, at_most: bool = False
) -> dict:
  """The result of a claim, for the model and for the fakes that show real clips of its source.

  Args:
    measured: model -> the entry `value`, its `conditions`, and what else to report.
    models: the fakes, classes of `testing.cartoon_models`.
    model: the model.
    bar: of `value`.
    at_most: whether the value must be at most the bar, instead of at least.
  """

  def passes(found: dict) -> bool:
    value = found["value"]
    return (value <= bar if at_most else value >= bar) and all(found["conditions"].values())

  senses = tuple(sense.name for sense in model.system.data.senses)
  found, fakes = measured(model), {}
  for fake in models:
    fakes[fake.name] = measured(fake(source=model.source, senses=senses))
    print(
      f"{fake.name}: {fakes[fake.name]['value']:.3f}, {'passes' if passes(fakes[fake.name]) else 'fails'}"
    )
  conditions = {
    **found.pop("conditions"),
    **{f"{name} fails": not passes(one) for name, one in fakes.items()},
  }
  value = found.pop("value")
  return {
    "value": value,
    "bar": bar,
    "holds": (value <= bar if at_most else value >= bar) and all(conditions.values()),
    "conditions": conditions,
    **found,
    "fakes": {name: one["value"] for name, one in fakes.items()},
  }
