"""Tells the user if a model is trained on a sense that no example has."""

import dataclasses
from collections.abc import Callable, Mapping

_LOGS = 5  # Number of logged steps after which a sense counts as absent from the data.


@dataclasses.dataclass
class AbsentSenses:
  """The senses that no example of the logged steps had.

  Attributes:
    senses: names of the senses that are still absent. Before the first step, all that the model learns.
    say: prints a line for the user.
    logs: number of logged steps.
  """

  senses: tuple[str, ...]
  say: Callable[[str], None]
  logs: int = 0

  def logged(self, scalars: Mapping[str, float], is_last: bool) -> None:
    """Takes the scalars of a logged step; tells the user once, after some steps or after the last one.

    The loss of a sense is exactly 0 if no example of the batch has the sense.
    """
    self.logs += 1
    self.senses = tuple(name for name in self.senses if scalars.get(f"loss/{name}") == 0)
    if self.senses and (self.logs == _LOGS or (is_last and self.logs < _LOGS)):
      names = ", ".join(self.senses)
      self.say(
        f"no example so far has {names}: the model does not learn it and will generate noise. Leave it "
        "out of config.senses."
      )
