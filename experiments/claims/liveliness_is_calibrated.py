"""Liveliness is 0 for what stands still or flickers, near 1 for real clips, and .5 at half the speed.

The scores of evaluation/liveliness.py are tested on real handwriting on canvases of three sizes, and on
cameras that move over textures of two sizes. The bars below check clips with known liveliness: real clips of
the source `digits`, and cameras at a steady pace (liveliness and explained motion); the same clips frozen,
blinking and with noise; clips at half the pace after the first window (.4 to .6); clips at a pace that halves
every 20 frames (half-life found within one window); and clips that repeat their first 12 frames (similarity
to earlier windows). Wandering cameras must not loop, nor digits on a canvas too wide for them to return.
Digits on a small canvas do return; their score is printed. Value: the share of bars met. Bar: 1.
"""

FRAMES, HALF_LIFE, PERIOD = 64, 20, 12
BARS = {  # (case, score) -> least, most
  ("real", "liveliness"): (0.8, 1),
  ("real", "explained"): (0.8, 1),
  ("frozen", "liveliness"): (0, 0.1),
  ("noise .1", "liveliness"): (0, 0.1),
  ("noise .5", "liveliness"): (0, 0.1),
  ("noise .5", "explained"): (0, 0.1),
  ("blinking", "liveliness"): (0, 0.1),
  ("half", "liveliness"): (0.4, 0.6),
  ("slowing", "half_life"): (HALF_LIFE - 8, HALF_LIFE + 8),
  ("slowing", "collapsed"): (1, 1),
  ("looping", "loop"): (0.8, 1),
}
APERIODIC = {("real", "looping"): (0, 0.1)}


def measure(seed: int) -> dict:
  from stale_jax.testing import moving

  kinds = {f"digits {size}": (moving.digits, 6 if size < 16 else 4, size) for size in (12, 16, 20)}
  kinds |= {f"textures {size}": (moving.textures, 3, size) for size in (32, 48)}
  found, missed = {}, []
  for kind, (make, clips, size) in kinds.items():
    periodic = kind.startswith("digits")
    steady = make(moving.steady(FRAMES, 1.5), clips, seed, size)
    real = moving.real_digits(FRAMES, clips, seed, size) if periodic else steady
    cases = {
      "real": real,
      "frozen": moving.frozen(real),
      "noise .1": moving.flickering(real, seed, 0.1),
      "noise .5": moving.flickering(real, seed, 0.5),
      "blinking": moving.blinking(real, seed),
      "half": make(moving.halved(FRAMES, 2.0), clips, seed + 1, size),
      "slowing": make(moving.slowing(FRAMES, 2.0, HALF_LIFE), clips, seed + 2, size),
      "looping": moving.looping(real, PERIOD),
    }
    scores = {case: moving.judge(sight, real) for case, sight in cases.items()}
    found[kind] = _held(kind, scores, BARS if periodic else BARS | APERIODIC, missed)
    if periodic:
      print(f"{kind:14}{'real':10}{'looping':12}{scores['real']['looping']:6.3f}   periodic: held to no bar")
  wide = moving.real_digits(FRAMES, 4, seed, canvas=80)
  found["digits 80"] = _held("digits 80", {"real": moving.judge(wide, wide)}, APERIODIC, missed)
  bars = sum(len(values) for values in found.values())
  return {
    "value": 1 - len(missed) / bars,
    "bar": 1.0,
    "holds": not missed,
    "missed": missed,
    "bars": bars,
    "found": found,
  }


def _held(kind: str, scores: dict, bars: dict, missed: list) -> dict:
  """Compares scores with their bars and prints them.

  Args:
    kind: name of the kind of clips.
    scores: case -> score -> value.
    bars: (case, score) -> least and greatest allowed value.
    missed: list to which the names of missed bars are appended.

  Returns:
    "CASE SCORE" -> value, for each bar.
  """
  said = {}
  for (case, name), (least, most) in bars.items():
    value = scores[case][name]
    holds = value is not None and least <= value <= most
    said[f"{case} {name}"] = value
    shown = "never" if value is None else f"{value:.3f}"
    print(f"{kind:14}{case:10}{name:12}{shown:>6}   {least:g} to {most:g}{'' if holds else '   MISSED'}")
    if not holds:
      missed.append(f"{kind} {case} {name}")
  return said
