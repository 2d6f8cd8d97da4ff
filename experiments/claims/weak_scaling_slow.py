"""From 16 to 1,024 chips, with as many clips a chip, each computes and sends as much as before.

The training step of 1.3 billion parameters on clips of 81 frames at 720p, compiled for 16 v5e chips and
for four slices of 256: parameters are cut over 16 chips, four of which share two clips, the most that fit,
and copies of those 16 take more clips. Value is the greatest relative change of a chip's operations (the
compiler's) and of the bytes that it sends; bar .03. What is added is the sum of gradients over the copies:
with half as many clips, which send half as much, that alone is .034.
"""

CUT, CLIPS = 4, 2  # fsdp and ulysses each; clips a group of chips that share one.


def measure(seed: int) -> dict:
  from experiments.tpu import without_tpu

  without_tpu()
  from configs import stale_1b
  from stale_jax.planning import plan

  config = {**stale_1b.get_config("720p").to_dict(), "seed": seed}
  found = {}
  for chips, topology, slices in ((16, "v5e:4x4", 1), (1024, "v5e:16x16", 4)):
    config["mesh"] = {"data": chips // CUT**2, "fsdp": CUT, "context": CUT, "ulysses": CUT}
    config["training"]["batch"] = CLIPS * chips // CUT
    made = plan(config, topology, slices, sampler=False)
    found[chips] = made.compiler_flops, sum(c.bytes for c in made.collectives)
    operations, sent = found[chips]
    print(f"{chips:5} chips: {operations / 1e12:.2f} T operations, {sent / 2**30:.3f} GiB sent")
  changes = [abs(b / a - 1) for a, b in zip(found[16], found[1024], strict=True)]
  return {
    "value": max(changes),
    "bar": 0.03,
    "holds": max(changes) <= 0.03,
    "operations_change": changes[0],
    "sent_change": changes[1],
  }
