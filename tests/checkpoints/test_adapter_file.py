"""Adapter files: the documented layout of PEFT and diffusers, and what does not fit is named in one line."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from stale_jax.checkpoints.adapter_file import load_adapter, save_adapter, weighted
from stale_jax.errors import UserError
from stale_jax.models.adapters import ADAPTERS, DiffFit, Lora
from stale_jax.models.parameters import draw
from tests.goldens import make_peft
from tests.models import small

SETTINGS = {"lora": Lora(rank=3, alpha=6.0, targets=("qkv", "down")), "difffit": DiffFit()}
MODEL = small.model()


def tree_of(settings):
  tree = draw(settings.declare(MODEL.declared), jax.random.key(0))
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: x + jnp.asarray(rng.standard_normal(x.shape), jnp.float32), tree)


def content(path):
  with safe_open(path, framework="numpy") as file:
    return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_file_is_read_as_it_was_written(kind, tmp_path):
  settings, path = SETTINGS[kind], tmp_path / "a.safetensors"
  tree = tree_of(settings)
  save_adapter(path, settings, MODEL.declared, tree, {"base": "digits"})
  jax.tree.map(np.testing.assert_array_equal, load_adapter(path, MODEL.declared), settings.scaled(tree))


def test_lora_has_the_layout_of_peft_and_the_metadata_of_diffusers(tmp_path):
  settings, path = SETTINGS["lora"], tmp_path / "a.safetensors"
  tree = tree_of(settings)
  save_adapter(path, settings, MODEL.declared, tree, {})
  tensors, metadata = content(path)
  modules = [
    f"blocks.{i}.{s}_{part}" for i in (0, 1) for s in ("text", "sight", "touch") for part in ("qkv", "down")
  ]
  ends = ("lora_A.weight", "lora_B.weight")
  assert tensors.keys() == {f"transformer.{module}.{end}" for module in modules for end in ends}
  stated = json.loads(metadata["lora_adapter_metadata"])
  assert metadata["format"] == "pt" and stated["transformer.r"] == 3 and stated["transformer.lora_alpha"] == 3
  assert stated["transformer.target_modules"] == sorted(modules)
  # A linear layer of PyTorch: y = W x, and PEFT adds (lora_alpha / r) B A x. The file has a factor of 1.
  a, b = (tensors[f"transformer.blocks.1.sight_down.{end}"] for end in ends)
  assert a.shape == (3, 128) and b.shape == (32, 3)
  added = settings.scaled(tree)["params"]["blocks"]["sight_down"]["lora"]
  np.testing.assert_allclose(b @ a, (added["a"][1] @ added["b"][1]).T, rtol=1e-5, atol=1e-5)


def added_by(tree) -> dict[str, np.ndarray]:
  """Layer -> what `tree` adds to its output at the input of `make_peft`."""
  out = {}
  for name, layer in tree["params"]["blocks"].items():
    a, b = (np.asarray(layer["lora"][matrix]) for matrix in "ab")
    for block in range(2):
      out[f"blocks.{block}.{name}"] = make_peft.probe(a.shape[1]) @ a[block] @ b[block]
  return out


@pytest.mark.parametrize("of", make_peft.FILES)
def test_diffusers_and_peft_add_what_we_add(of, tmp_path):
  """They have loaded a file of this package, and each has written one (`goldens.make_peft`)."""
  path = make_peft.FILES[of]
  if of == "ours":  # What they have loaded is what is written today.
    settings = SETTINGS["lora"]
    save_adapter(tmp_path / "a.safetensors", settings, MODEL.declared, tree_of(settings), {})
    (tensors, metadata), (loaded, stated) = content(tmp_path / "a.safetensors"), content(path)
    jax.tree.map(np.testing.assert_array_equal, tensors, loaded)
    assert metadata == stated
  here = added_by(load_adapter(path, MODEL.declared))
  with np.load(make_peft.ADDED) as file:
    there = {name.removeprefix(f"{of}/"): file[name] for name in file if name.startswith(f"{of}/")}
  assert len(there) == (12 if of == "ours" else 2)
  for name, x in here.items():
    np.testing.assert_allclose(x, there.get(name, 0 * x), rtol=1e-5, atol=1e-4)


def test_adapters_that_are_more_than_a_product_are_refused(tmp_path):
  copy = tmp_path / "peft"
  shutil.copytree(make_peft.FILES["peft"], copy)
  stated = json.loads((copy / "adapter_config.json").read_text())
  for change, said in (({"use_dora": True}, "use_dora=True"), ({"lora_alpha": "8"}, "no number")):
    (copy / "adapter_config.json").write_text(json.dumps({**stated, **change}))
    with pytest.raises(UserError, match=said):
      load_adapter(copy, MODEL.declared)


def test_files_of_other_programs_are_read(tmp_path):
  """One layer alone, in the layout that PEFT documents; alpha stated in each of the three ways."""
  rng, module = np.random.default_rng(0), "transformer.blocks.1.sight_qkv"
  a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 32), (96, 2)))
  tensors = {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
  path = tmp_path / "other.safetensors"
  stated = {"lora_adapter_metadata": json.dumps({"transformer.r": 2, "transformer.lora_alpha": 8})}
  alpha = {f"{module}.alpha": np.array(6, np.float32)}
  for more, metadata, scale in (({}, None, 1), ({}, stated, 4), (alpha, stated, 3)):
    save_file({**tensors, **more}, path, metadata=metadata)
    (layer,) = load_adapter(path, MODEL.declared)["params"]["blocks"].values()
    product = np.asarray(layer["lora"]["a"]) @ np.asarray(layer["lora"]["b"])
    np.testing.assert_allclose(product[1], (scale * b @ a).T, rtol=1e-5, atol=1e-5)
    assert not product[0].any()  # The other block is not changed.


@pytest.mark.parametrize(
  "change, message",
  [
    (
      lambda t: {**t, "transformer.blocks.0.hearing_qkv.lora_A.weight": t[min(t)]},
      "no place for .*hearing_qkv",
    ),
    (lambda t: {**t, "transformer.blocks.2.sight_qkv.lora_A.weight": t[min(t)]}, "no place for .*blocks.2"),
    (lambda t: {name: x for name, x in t.items() if "lora_B" not in name}, "lacks lora_A or lora_B"),
    (lambda t: {name: x[..., :-1] if "_A" in name else x for name, x in t.items()}, "has shape"),
    (lambda t: {name: x[:2] if name == min(t) else x for name, x in t.items()}, r"ranks \[2, 3\]"),
    (lambda t: {name: x * np.nan for name, x in t.items()}, "NaN"),
    (lambda t: {}, "empty"),
  ],
)
def test_what_does_not_fit_is_named(change, message, tmp_path):
  path = tmp_path / "a.safetensors"
  save_adapter(path, SETTINGS["lora"], MODEL.declared, tree_of(SETTINGS["lora"]), {})
  tensors, metadata = content(path)
  save_file({name: np.ascontiguousarray(x) for name, x in change(tensors).items()}, path, metadata=metadata)
  with pytest.raises(UserError, match=message) as error:
    load_adapter(path, MODEL.declared)
  assert "\n" not in str(error.value)


def test_broken_files_and_weights_are_refused(tmp_path):
  path = tmp_path / "a.safetensors"
  with pytest.raises(UserError, match="no adapter at"):
    load_adapter(path, MODEL.declared)
  path.write_bytes(b"broken")
  with pytest.raises(UserError, match="not an adapter file"):
    load_adapter(path, MODEL.declared)
  assert weighted(["a", ("b", 2)]) == [("a", 1.0), ("b", 2.0)]
  for adapters in ("a", [("a", float("nan"))], [("a", "1")], [("a", 1.0, 2.0)]):
    with pytest.raises(UserError, match="adapters"):
      weighted(adapters)
