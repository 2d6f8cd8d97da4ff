"""Loads a LoRA file of this package with diffusers and with PEFT, and writes one with each.

It needs torch, diffusers and peft, but neither JAX nor this package. From the root of the checkout:

python -m venv peer && peer/bin/pip install torch diffusers peft
peer/bin/python tests/goldens/make_peft.py

`peft_ours.safetensors` is a file of this package; the test that reads it says which. diffusers writes
`peft_model.safetensors`, and PEFT the folder `peft`. `peft_added.npz` has, for each of the three and each
adapted layer, what the adapter adds to the layer's output at the input cos(0), cos(1), ...
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
FILES = {"ours": "peft_ours.safetensors", "diffusers": "peft_model.safetensors", "peft": "peft"}
FILES = {name: FOLDER / file for name, file in FILES.items()}
ADDED = FOLDER / "peft_added.npz"
# Layer -> (inputs, outputs) of the small model of the tests, whose LoRA file is read.
WIDTHS = {"text": 16, "sight": 32, "touch": 16}
SIZES = {}
for stream, width in WIDTHS.items():
  SIZES |= {f"{stream}_qkv": (width, 96), f"{stream}_down": (4 * width, width)}


def probe(inputs: int) -> np.ndarray:
  """The input at which layers are compared."""
  return np.cos(np.arange(inputs)).astype(np.float32)


def network():
  """A diffusers model with the linear layers of two blocks, without anything else."""
  import torch
  from diffusers import ConfigMixin, ModelMixin
  from diffusers.loaders import PeftAdapterMixin

  class Network(ModelMixin, ConfigMixin, PeftAdapterMixin):
    def __init__(self):
      super().__init__()
      torch.manual_seed(0)
      blocks = [{name: torch.nn.Linear(*size) for name, size in SIZES.items()} for _ in range(2)]
      self.blocks = torch.nn.ModuleList(map(torch.nn.ModuleDict, blocks))

  return Network()


def added(model) -> dict[str, np.ndarray]:
  """Layer -> what its adapter adds to its output, of the layers that have one."""
  import torch

  out = {}
  for name, module in model.named_modules():
    if hasattr(module, "base_layer"):
      x = torch.tensor(probe(module.base_layer.in_features))[None]
      out[name.removeprefix("base_model.model.")] = (module(x) - module.base_layer(x))[0].detach().numpy()
  return out


def trained(model):
  """`model`, whose adapters have random weights; PEFT starts with zeros."""
  import torch

  for name, x in model.named_parameters():
    if "lora_B" in name:
      x.data = torch.tensor(np.random.default_rng(len(name)).standard_normal(x.shape), dtype=torch.float32)
  return model


def main() -> None:
  import peft
  from safetensors.torch import load_file

  settings = {"r": 2, "lora_alpha": 8, "target_modules": ["blocks.1.sight_qkv", "blocks.1.sight_down"]}
  settings = peft.LoraConfig(**settings)
  models = {name: network() for name in ("ours", "injected", "diffusers")}
  # Without use_safetensors=True, diffusers does not read the metadata of a file.
  models["ours"].load_lora_adapter(str(FILES["ours"]), prefix="transformer")
  tensors = {name.removeprefix("transformer."): x for name, x in load_file(FILES["ours"]).items()}
  layers = sorted({name.partition(".lora_")[0] for name in tensors})
  peft.inject_adapter_in_model(peft.LoraConfig(r=3, lora_alpha=3, target_modules=layers), models["injected"])
  peft.set_peft_model_state_dict(models["injected"], tensors)

  models["diffusers"].add_adapter(settings, adapter_name="default")
  folder = FOLDER / "peft_written"
  trained(models["diffusers"]).save_lora_adapter(folder, adapter_name="default")
  (written,) = folder.iterdir()
  written.rename(FILES["diffusers"])
  folder.rmdir()

  models["peft"] = trained(peft.get_peft_model(network(), settings))
  models["peft"].save_pretrained(FILES["peft"])
  (FILES["peft"] / "README.md").unlink(missing_ok=True)

  sums = {name: added(model) for name, model in models.items()}
  injected = sums.pop("injected")
  assert all(np.array_equal(x, injected[name]) for name, x in sums["ours"].items())
  np.savez_compressed(ADDED, **{f"{of}/{name}": x for of in sums for name, x in sums[of].items()})
  print({of: len(layers) for of, layers in sums.items()})


if __name__ == "__main__":
  main()
