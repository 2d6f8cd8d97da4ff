"""How a config samples."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
  """The sampler's settings.

  Attributes:
    solver: "euler", "heun" or "ancestral".
    steps: of the solver.
    guidance: scale of classifier-free guidance; 1 is none.
    shift: of the time grid; above 1 steps are smaller near the noise.
  """

  solver: str = "euler"
  steps: int = 20
  guidance: float = 2.5
  shift: float = 6.0
