"""A plan as text for a terminal."""

from collections.abc import Iterator

from stale_jax.planning.report import GIB, Plan


def lines(made: Plan) -> Iterator[str]:
  """Yields the lines that describe a plan, warnings last."""
  mesh = " x ".join(f"{name} {size}" for name, size in made.mesh.items() if size > 1) or "1"
  where = f"{made.chips} chips ({made.slices} x {made.topology})"
  yield f"{made.parameters / 1e9:.2f} billion parameters on {where}"
  yield f"mesh {mesh}; batch {made.batch} clips of {made.tokens:,} tokens"
  verdict = "fits" if made.fits else "DOES NOT FIT"
  yield f"memory      {made.used / GIB:8.2f} GiB per device, of {made.available / GIB:.2f}: {verdict}"
  for name, value in made.memory.items():
    yield f"  {name:16}{value / GIB:8.2f}"
  for size, kind, by in made.largest:
    yield f"  largest         {size / GIB:8.2f}  {kind}  {by[-70:]}"
  if made.compiled:
    counted, theirs = made.hardware_flops / 1e12, made.compiler_flops / 1e12
    yield f"operations  {counted:8.1f} T per device, counted; {theirs:.1f} T in the compiled program"
    yield f"HBM         {made.hbm / GIB:8.1f} GiB read and written per device"
    for c in made.collectives[:6]:
      far = " between slices" if c.slices else ""
      axes = " x ".join(c.axes)
      yield f"  {c.kind:18}{axes:16}{c.bytes / GIB:8.3f} GiB in {c.count}{far}"
    s = made.seconds
    yield (
      f"step        {s.step:8.3f} s at least: operations {s.flops:.3f}, HBM {s.hbm:.3f}, "
      f"hidden {s.hidden:.3f}, exposed {s.exposed:.3f}, between slices {s.dcn:.3f}"
    )
    yield f"MFU         {made.mfu:8.1%} at most; {made.tokens_per_second:,.0f} tokens per second"
    money = "" if made.dollars is None else f", {made.dollars:,.0f} US dollars at {made.price:g}"
    yield f"run         {made.steps:,} steps, {made.chip_hours:,.0f} chip-hours{money}"
  if made.sampler:
    s = made.sampler
    yield (
      f"sampler     {s.used / GIB:8.2f} GiB per device; {s.movies} movies per batch, "
      f"{s.seconds_a_movie:.2f} s each, {s.evaluations} evaluations"
    )
  for warning in made.warnings:
    yield f"warning: {warning}"
  yield f"compiled in {made.compile_seconds:.0f} s"
