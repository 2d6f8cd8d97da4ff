"""With the mask, a background that the digit never touches stays still for 200 frames.

The setting of `artv_e3_slow`, with the background restricted to pixels that the real digit never touches: it
covers neither them nor any of their eight neighbours. Beside the digit, strokes of a generated digit differ
from the real one's by a pixel, and a mask that copies cannot help there. Value, bar and the condition on
motion are those of `artv_e3_slow`.
"""


def measure(seed: int) -> dict:
  from experiments.claims._artv import background_drift, judge_background

  return judge_background(background_drift(seed), "untouched")
