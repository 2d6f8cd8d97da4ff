"""The block scheduler evens out the stages of a pipeline, and loses no block.

Test B5 of StreamDiffusionV2 (arXiv 2511.07399): 32 blocks on four devices, eight each, whose stages take 3,
1, 1 and 2 seconds. Two causes are possible: the stages have other work beside their blocks, or their devices
differ in speed. Value: by how much the greatest time divided by the mean time falls, relative to before, the
lesser fall of the two causes. Bar: .2. The number of blocks must be the same. The fake, `unrepaired`, is the
number of blocks of the rounded formula without the repair of its sum; it must differ.
"""

BLOCKS, SECONDS = (8, 8, 8, 8), (3.0, 1.0, 1.0, 2.0)


def measure(seed: int) -> dict:
  from stale_jax.sampling.stream.balance import rebalanced

  target = rebalanced(BLOCKS, SECONDS)
  cost, mean = sum(SECONDS) / sum(BLOCKS), sum(SECONDS) / len(SECONDS)
  rows = list(zip(BLOCKS, SECONDS, target, strict=True))
  causes = {
    "other_work": [time + (now - before) * cost for before, time, now in rows],
    "slow_devices": [time / before * now for before, time, now in rows],
  }

  def excess(times) -> float:
    return max(times) / (sum(times) / len(times))

  falls = {name: 1 - excess(times) / excess(SECONDS) for name, times in causes.items()}
  unrepaired = sum(max(1, round(before + (mean - time) / cost)) for before, time, _ in rows)
  value = min(falls.values())
  return {
    "value": value,
    "bar": 0.2,
    "holds": value >= 0.2 and sum(target) == sum(BLOCKS) != unrepaired,
    "falls": falls,
    "blocks": list(target),
    "unrepaired": unrepaired,
  }
