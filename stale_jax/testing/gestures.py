"""Videos of a drawn person who moves one arm before a fixed camera, to test the search for near-duplicates.

All takes of one person have the same background, clothes and pose, and the hand goes to about the same place:
takes differ only in when and how the arm moves.
"""

import cv2
import numpy as np

from stale_jax.testing.scenes import RATE, scene


def gesture(person: int, take: int, seconds: float = 2.4, height: int = 180, width: int = 320) -> np.ndarray:
  """Pictures [frames, height, width, 3] of one take: the arm is raised, waves a little, and is lowered."""
  background = scene("slide", 0.1, person, height, width)[0]
  drawn, rng = np.random.default_rng([person, 77]), np.random.default_rng([person, take])
  skin = tuple(int(c) for c in drawn.integers(120, 240, 3))
  cloth = tuple(int(c) for c in drawn.integers(10, 90, 3))
  time = np.arange(round(seconds * RATE)) / RATE
  shoulder, rest = np.array([0.42 * width, 0.45 * height]), np.array([0.36 * width, 0.95 * height])
  target = np.array([0.33 * width, 0.42 * height]) + rng.normal(0, 0.1 * height, 2)
  begin, took, end = rng.uniform(0.2, 0.8), rng.uniform(0.25, 0.5), seconds - rng.uniform(0.3, 0.9)
  raised = np.clip((time - begin) / took, 0, 1) - np.clip((time - end) / took, 0, 1)
  raised = raised**2 * (3 - 2 * raised)
  wave = rng.normal(0, 0.03 * height, 2) * np.sin(2 * np.pi * rng.uniform(1, 3) * time)[:, None]
  hand = rest + (target - rest) * raised[:, None] + (raised > 0.95)[:, None] * wave
  out = np.repeat(background[None], len(time), 0)
  for i, picture in enumerate(out):
    body, head = (
      (width // 2, round(0.75 * height)),
      (round(width / 2 + 2 * np.sin(2 * time[i] + take)), round(0.3 * height)),
    )
    cv2.ellipse(picture, body, (round(0.13 * width), round(0.33 * height)), 0, 0, 360, cloth, -1, cv2.LINE_AA)
    cv2.circle(picture, head, round(0.1 * height), skin, -1, cv2.LINE_AA)
    elbow = (shoulder + hand[i]) / 2 + np.array([-0.05 * width, 0.03 * height])
    for a, b in ((shoulder, elbow), (elbow, hand[i])):
      cv2.line(picture, _point(a), _point(b), cloth, round(0.06 * height), cv2.LINE_AA)
    cv2.circle(picture, _point(hand[i]), round(0.035 * height), skin, -1, cv2.LINE_AA)
  noise = np.random.default_rng(take).normal(0, 2, (8, height, width, 3))
  return np.stack([np.clip(picture + noise[i % 8], 0, 255).astype(np.uint8) for i, picture in enumerate(out)])


def _point(place: np.ndarray) -> tuple[int, int]:
  return int(place[0]), int(place[1])
