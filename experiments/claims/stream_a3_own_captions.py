"""Of clips with their own captions, residual guidance moves frames as classifier-free guidance does.

As `stream_a3`, but the source clips have their own captions, so that guidance restores a clip instead of
turning it into another. (This setting was chosen after `stream_a3` had failed.) Value: the correlation of
(once - none) with (classifier-free - none). Bar: .5; it must exceed that of "self" by at least .15, and the
fake, `shuffled`, must stay below .5.
"""


def measure(seed: int) -> dict:
  from experiments.claims.stream_a3 import directions

  return directions(seed, own_captions=True)
