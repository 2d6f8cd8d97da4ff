"""From 16 to 1,024 chips, with as many clips per chip, each chip computes and sends as much as before.

The training step of a model of 1.3 billion parameters, on clips of 81 frames at 720p, is compiled for 16 v5e
chips and for four slices of 256. Parameters are sharded over 16 chips. Each group of four chips shares two
clips, the most that fit. The larger mesh has 64 replicas of the 16 chips, with further clips (data
parallelism). Value: the greatest relative change of a chip's operations (as the compiler counts them) and of
the bytes that it sends. Bar: .03. The change is caused by the sum of the gradients over the replicas. With
half as many clips, a chip otherwise sends half as much, and this sum alone is .034 of it.
"""

CUT, CLIPS = 4, 2  # Size of fsdp, and of context and ulysses; clips per group of CUT chips.


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
