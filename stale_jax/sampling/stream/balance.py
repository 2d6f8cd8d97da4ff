"""The block scheduler: how many transformer blocks each device of a pipeline gets."""

from collections.abc import Sequence

from stale_jax.errors import UserError


def even(total: int, stages: int) -> tuple[int, ...]:
  """`total` blocks over `stages` stages, as evenly as possible; the first stages get the remainder."""
  if not 1 <= stages <= total:
    raise UserError(f"{total} blocks cannot be divided over {stages} devices: each needs at least one.")
  return tuple(total // stages + (stage < total % stages) for stage in range(stages))


def rebalanced(blocks: Sequence[int], seconds: Sequence[float]) -> tuple[int, ...]:
  """Moves blocks from slow stages to fast ones (StreamDiffusionV2, arXiv 2511.07399, sec. 3.2).

  Stages may differ in more than their blocks: the first ones also encode, the last ones decode. With c =
  sum(seconds) / sum(blocks), the mean cost of a block, stage i should have max(1, round(blocks_i +
  (mean(seconds) - seconds_i) / c)) blocks. Then single blocks are added to the stages that would be the
  fastest, or taken from the slowest, until their number is that of before.

  Args:
    blocks: number of blocks of each stage.
    seconds: measured time of each stage.
  """
  total, mean = sum(blocks), sum(seconds) / len(seconds)
  cost = sum(seconds) / total
  pairs = list(zip(blocks, seconds, strict=True))
  target = [max(1, round(count + (mean - time) / cost)) for count, time in pairs]

  def predicted(stage: int) -> float:
    return seconds[stage] + (target[stage] - blocks[stage]) * cost

  while sum(target) < total:
    target[min(range(len(target)), key=predicted)] += 1
  while sum(target) > total:
    target[max((i for i, count in enumerate(target) if count > 1), key=predicted)] -= 1
  return tuple(target)


def stages(blocks: Sequence[int]) -> tuple[range, ...]:
  """The contiguous ranges of blocks of the stages, from their numbers."""
  ends = [sum(blocks[: stage + 1]) for stage in range(len(blocks))]
  return tuple(range(end - count, end) for end, count in zip(ends, blocks, strict=True))
