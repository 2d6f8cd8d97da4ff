"""Residual guidance evaluates n or n + 1 rows per frame, where classifier-free guidance evaluates 2n.

Test A2 of StreamDiffusion (arXiv 2312.12491), with the packaged causal model at n = 8. The rows on which the
network is evaluated per tick, which emits one frame, must be exactly n without guidance and with the source
as the anchor ("self"), n + 1 with one negative evaluation ("once") and 2n with classifier-free guidance. The
time of a tick with classifier-free guidance is divided by that of "once" (bar 1.4) and of "self" (bar 1.6);
ticks alternate, and medians count. Value: the lesser of the two ratios, each divided by its bar. Bar: 1. The
fake is classifier-free guidance under another name: `same_twice` is its ratio to itself, which reaches
neither bar.
"""

LEVELS, ROUNDS = 8, 40
EXPECTED = {"none": LEVELS, "self": LEVELS, "once": LEVELS + 1, "always": 2 * LEVELS}


def measure(seed: int) -> dict:
  from experiments.claims._stream import PROMPTS, engine, levels_of, ticker
  from experiments.claims._timing import alternate
  from stale_jax.pipeline import load

  model, prompts = load("causal"), PROMPTS[:1]
  levels = levels_of(model, LEVELS)
  names = {"none": None, "self": "never", "once": "once", "always": "always"}
  streams = {kind: engine(model, levels, negative=negative) for kind, negative in names.items()}
  rows = {kind: _rows(model, stream, prompts) for kind, stream in streams.items()}
  programs = {kind: ticker(model, streams[kind], prompts, 2.0) for kind in ("always", "once", "self")}
  programs["same"] = ticker(model, streams["always"], prompts, 2.0)
  seconds = alternate(programs, ROUNDS)
  ratios = {kind: seconds["always"] / seconds[kind] for kind in ("once", "self", "same")}
  value = min(ratios["once"] / 1.4, ratios["self"] / 1.6)
  return {
    "value": value,
    "bar": 1.0,
    "holds": value >= 1 and rows == EXPECTED and ratios["same"] < 1.4,
    "once": ratios["once"],
    "self": ratios["self"],
    "same_twice": ratios["same"],
    "rows": rows,
    "milliseconds": {kind: 1000 * time for kind, time in seconds.items()},
  }


def _rows(model, stream, prompts) -> int:
  """The number of rows of the network's evaluation in a tick."""
  import jax

  from experiments.claims._stream import encoded, entering, keys_of

  def rows(params, state):
    return stream.inputs(stream.enter(state, entering(encoded(model, prompts))))[1]

  state = stream.start(model.params, encoded(model, prompts), keys_of([0]))
  return jax.eval_shape(rows, model.params, state).shape[0]
