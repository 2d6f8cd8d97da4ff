"""The transformer of Wan 2.1 1.3B in the library diffusers, timed in PyTorch on a GPU.

Full depth, full attention over 32,760 tokens of latents and 512 of text, checkpointing of every block,
bfloat16 autocast over float32 parameters, AdamW; in eager mode, and with its blocks compiled.
"""

import time
from collections.abc import Iterator

from stale_jax.benchmark import Measurement
from stale_jax.errors import UserError

LATENTS, TEXT, REPETITIONS = (16, 21, 60, 104), 512, 3
TOKENS = LATENTS[1] * LATENTS[2] * LATENTS[3] // 4


def measurements() -> Iterator[Measurement]:
  """Yields a training step and a forward pass, eager and compiled.

  Raises:
    UserError: PyTorch, diffusers or a GPU is missing.
  """
  try:
    import torch
    from diffusers import WanTransformer3DModel
  except ImportError as error:
    raise UserError(f"--peer=diffusers: {error}; install torch and diffusers.") from error
  if not torch.cuda.is_available():
    raise UserError("--peer=diffusers is timed on a GPU, and PyTorch finds none.")
  from torch.utils.flop_counter import FlopCounterMode

  def build(device):
    with torch.device(device):
      # The sizes of Wan-AI/Wan2.1-T2V-1.3B-Diffusers, transformer/config.json.
      model = WanTransformer3DModel(
        num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30, text_dim=4096
      )
      text = torch.randn(1, TEXT, 4096)
      inputs = {"hidden_states": torch.randn(1, *LATENTS), "timestep": torch.full((1,), 500)}
    return model, {**inputs, "encoder_hidden_states": text, "return_dict": False}

  # Counted in a model without memory: PyTorch's own count of matrix products.
  with FlopCounterMode(display=False) as counter, torch.no_grad():
    model, inputs = build("meta")
    model(**inputs)
  flops = counter.get_total_flops()

  torch.manual_seed(0)
  model, inputs = build("cuda")
  model.enable_gradient_checkpointing()
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

  def forward():
    with torch.autocast("cuda", torch.bfloat16):
      return model(**inputs)[0]

  def step():
    forward().float().square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()

  def infer():
    with torch.no_grad():
      forward()

  parameters = sum(x.numel() for x in model.parameters())
  for mode in ("eager", "compiled"):
    if mode == "compiled":
      for block in model.blocks:
        block.compile()
    for name, run, factor in (("training step", step, 3), ("forward pass", infer, 1)):
      first, *seconds = [_seconds(run) for _ in range(REPETITIONS + 1)]
      yield Measurement(
        suite="peer",
        name=f"diffusers {mode} {name}",
        seconds=seconds,
        flops=factor * flops,
        tokens=TOKENS,
        peak_bytes=torch.cuda.max_memory_allocated(),
        more={"first_seconds": first, "parameters": parameters, "torch": torch.__version__},
      )


def _seconds(run) -> float:
  import torch

  torch.cuda.synchronize()
  began = time.perf_counter()
  run()
  torch.cuda.synchronize()
  return time.perf_counter() - began
