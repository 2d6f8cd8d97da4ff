"""Draws the frames of a take."""

import numpy as np
from jaxtyping import UInt8

from stale_jax.data.sources.cartoons.body import draw_figure
from stale_jax.data.sources.cartoons.effects import draw_cloud
from stale_jax.data.sources.cartoons.labels import name
from stale_jax.data.sources.cartoons.pen import Pen
from stale_jax.data.sources.cartoons.props import draw_prop
from stale_jax.data.sources.cartoons.scenes import SCENES
from stale_jax.data.sources.cartoons.take import Figure, Take

CAR_SHADOW, SHADOW = 12.0, 6.5  # Half widths.


def film(
  take: Take, height: int, width: int, frames: int, rate: float
) -> UInt8[np.ndarray, "frames height width 3"]:
  """The pictures of `take`, RGB, `rate` per second, the first one at time 0."""
  scene, pen = SCENES[name(take.labels, "scene")], Pen(height, width)
  pictures = np.empty((frames, height, width, 3), np.uint8)
  background = None
  for frame in range(frames):
    time = frame / rate
    view = take.view(time)
    if background is None:
      scene.draw(pen, view)
      if not take.camera_moves:
        background = pen.canvas.copy()
    else:
      np.copyto(pen.canvas, background)
    scene.animate(pen, view, time)
    draw_figures(pen, take.figures(time), time)
    pictures[frame] = pen.picture()
  return pictures


def draw_figures(pen: Pen, figures: tuple[Figure, ...], time: float) -> None:
  """Draws figures with their shadows, the first one in front."""
  for actor, pose, ground, *_ in figures:
    wide = (CAR_SHADOW if pose.car else SHADOW * actor.width) * max(0.45, 1 - pose.lift / 30)
    pen.shadow(ground + 0.4j, wide, 1.6)
  for actor, pose, ground, facing, prop in reversed(figures):
    draw_figure(pen, actor, pose, ground, facing, prop, time)
    draw_cloud(pen, ground - 15j, pose.cloud)
    if pose.thrown is not None:
      place, angle = pose.thrown
      place = ground + actor.size * complex(facing * place.real, -place.imag)
      draw_prop(pen, prop, place, facing, facing * angle, time, thrown=True)
