"""Our video transformer and one of the library diffusers: equal token counts, similar parameter counts."""

FRAMES, SIDE, CHANNELS, WORDS = 8, 16, 4, 64
WIDTH, DEPTH, HEADS, BATCH = 384, 8, 6, 2


def ours(dtype: str):
  """(model, parameters, the other arguments of `model.apply`), with 512 tokens of sight and 64 of text."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from stale_jax.clip import Context, Sense
  from stale_jax.models import build_model

  sight = Sense(name="sight", shape=(SIDE, SIDE, CHANNELS), rate=8.0, patch=(1, 2, 2), channels=tuple("abcd"))
  sizes = {"width": WIDTH, "depth": DEPTH, "heads": HEADS, "text_width": 128, "side_width": 128}
  section = {**sizes, "condition_width": 256, "text_length": 4 * WORDS, "dtype": dtype}
  model = build_model(section, (sight,))
  rng = np.random.default_rng(0)
  clip = {"sight": jnp.asarray(rng.standard_normal((BATCH, FRAMES, *sight.shape)), jnp.float32)}
  text = jnp.asarray(rng.integers(1, 200, (BATCH, 4 * WORDS)), jnp.int32)
  given = clip, jnp.full((BATCH, FRAMES), 0.5), Context(text=text)
  return model, jax.jit(model.init)(jax.random.key(0), *given), given


def theirs():
  """(CogVideoX's transformer, its keyword arguments): like ours, with joint attention and adaLN.

  Raises:
    UserError: diffusers is not installed.
  """
  from stale_jax.errors import UserError

  try:
    import torch
    from diffusers import CogVideoXTransformer3DModel
  except ImportError as error:
    raise UserError("this claim compares with diffusers: pip install torch diffusers") from error
  torch.manual_seed(0)
  model = CogVideoXTransformer3DModel(
    num_attention_heads=HEADS,
    attention_head_dim=WIDTH // HEADS,
    in_channels=CHANNELS,
    out_channels=CHANNELS,
    time_embed_dim=256,
    text_embed_dim=256,
    num_layers=DEPTH,
    sample_width=SIDE,
    sample_height=SIDE,
    sample_frames=FRAMES,
    temporal_compression_ratio=1,
    max_text_seq_length=WORDS,
  )
  return model, {
    "hidden_states": torch.randn(BATCH, FRAMES, CHANNELS, SIDE, SIDE),
    "encoder_hidden_states": torch.randn(BATCH, WORDS, 256),
    "timestep": torch.full((BATCH,), 500),
  }


def theirs_in_every_way(network, make) -> dict:
  """Name -> program to time, for `network` in eager mode and compiled, in float32 and in bfloat16.

  Args:
    network: a PyTorch module.
    make: (forward function, name of the dtype) -> the program.
  """
  import torch

  ways = {"eager": network, "compiled": torch.compile(network)}
  return {
    f"torch {how} {dtype}": make(forward, dtype)
    for dtype in ("float32", "bfloat16")
    for how, forward in ways.items()
  }


def compared(seconds: dict[str, float], sizes: dict[str, int]) -> dict:
  """The result of a claim: the time of our fastest program divided by that of the fastest of PyTorch.

  Args:
    seconds: name of a program, which begins with "jax" or "torch" -> its median time.
    sizes: "jax", "torch" -> number of parameters.
  """
  import torch

  best = {side: min(v for k, v in seconds.items() if k.startswith(side)) for side in ("jax", "torch")}
  for name, value in seconds.items():
    print(f"{name:32} {1000 * value:8.1f} ms")
  ratio = best["jax"] / best["torch"]
  return {
    "value": ratio,
    "bar": 1.0,
    "holds": ratio <= 1.0,
    "seconds": seconds,
    "parameters": sizes,
    "torch": torch.__version__,
    "threads": torch.get_num_threads(),
  }
