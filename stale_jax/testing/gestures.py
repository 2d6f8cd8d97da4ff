"""Videos of a drawn person who moves the arms before a fixed camera, to test the search for near-duplicates.

All takes of one person have the same background, clothes and pose. They differ only in where and when the
arms move.
"""

import cv2
import numpy as np

from stale_jax.testing.scenes import RATE, scene


def gesture(person: int, take: int, seconds: float = 2.4, height: int = 180, width: int = 320) -> np.ndarray:
  """Pictures [frames, height, width, 3] of one take: each arm is raised, waves a little, and is lowered."""
  background = scene("slide", 0.1, person, height, width)[0]
  drawn, rng = np.random.default_rng([person, 77]), np.random.default_rng([person, take])
  skin = tuple(int(c) for c in drawn.integers(120, 240, 3))
  cloth = tuple(int(c) for c in drawn.integers(10, 90, 3))
  time = np.arange(round(seconds * RATE)) / RATE
  arms = [_arm(rng, time, seconds) for _ in range(2)]
  out = np.repeat(background[None], len(time), 0)
  for i, picture in enumerate(out):
    body, sides = (width // 2, round(0.75 * height)), (round(0.13 * width), round(0.33 * height))
    cv2.ellipse(picture, body, sides, 0, 0, 360, cloth, -1, cv2.LINE_AA)
    cv2.circle(picture, (width // 2, round(0.3 * height)), round(0.1 * height), skin, -1, cv2.LINE_AA)
    for side, arm in zip((-1, 1), arms, strict=True):
      hand, shoulder = arm[i], np.array([0.1, 0.45])
      elbow = (hand + shoulder) / 2 + np.array([0.05, 0.03])
      points = [(round(width / 2 + side * x * height), round(y * height)) for x, y in (shoulder, elbow, hand)]
      for a, b in zip(points[:-1], points[1:], strict=True):
        cv2.line(picture, a, b, cloth, round(0.06 * height), cv2.LINE_AA)
      cv2.circle(picture, points[-1], round(0.035 * height), skin, -1, cv2.LINE_AA)
  noise = np.random.default_rng(take).normal(0, 2, (8, height, width, 3))
  return np.stack([np.clip(picture + noise[i % 8], 0, 255).astype(np.uint8) for i, picture in enumerate(out)])


def _arm(rng: np.random.Generator, time: np.ndarray, seconds: float) -> np.ndarray:
  """The hand's distance from the middle, and its height from the top, in multiples of the height."""
  rest, target = np.array([0.22, 0.95]), np.array([0.3, 0.5]) + rng.uniform(-0.25, 0.25, 2)
  begin, end = rng.uniform(0.1, 0.4) * seconds, rng.uniform(0.5, 0.9) * seconds
  raised = np.clip((time - begin) / 0.4, 0, 1) - np.clip((time - end) / 0.4, 0, 1)
  raised = (raised**2 * (3 - 2 * raised))[:, None]
  wave = rng.normal(0, 0.04, 2) * np.sin(2 * np.pi * rng.uniform(1, 3) * time)[:, None]
  return rest + (target - rest) * raised + raised * wave
