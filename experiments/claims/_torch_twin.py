"""`stale_jax.models.Transformer` in idiomatic PyTorch, with the same weights."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from stale_jax.models.layers import rotary_angles
from stale_jax.models.patches import positions


def _linear(weights) -> nn.Linear:
  kernel = np.asarray(weights["dense"]["kernel"])
  layer = nn.Linear(*kernel.shape)
  layer.weight.data = torch.from_numpy(kernel.T.copy())
  layer.bias.data = torch.from_numpy(np.array(weights["dense"]["bias"]))
  return layer


def _parameter(x) -> nn.Parameter:
  return nn.Parameter(torch.from_numpy(np.array(x)))


def _gelu(x):
  return F.gelu(x, approximate="tanh")


def _modulate(x, shift, scale):
  return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, :, None]) + shift[:, :, None]


def _rotate(x, cos, sin):
  a, b = x.chunk(2, -1)
  return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def _features(t):
  angle = t[..., None] * torch.from_numpy(np.geomspace(1.0, 1000.0, 32, dtype=np.float32))
  return torch.cat([angle.sin(), angle.cos()], -1)


class _Text(nn.Module):
  def __init__(self, weights):
    super().__init__()
    self.bytes = nn.Embedding.from_pretrained(
      torch.from_numpy(np.array(weights["bytes"]["embedding"])), freeze=False
    )
    self.position = _parameter(weights["position"])
    self.norms, self.convs, self.denses = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
    for i in range(2):
      norm = nn.LayerNorm(self.position.shape[-1], eps=1e-6)
      norm.weight, norm.bias = (_parameter(weights[f"norm_{i}"][k]) for k in ("scale", "bias"))
      kernel = np.asarray(weights[f"conv_{i}"]["kernel"])
      conv = nn.Conv1d(kernel.shape[1], kernel.shape[2], kernel.shape[0], padding="same")
      conv.weight, conv.bias = _parameter(kernel.transpose(2, 1, 0)), _parameter(weights[f"conv_{i}"]["bias"])
      self.norms.append(norm)
      self.convs.append(conv)
      self.denses.append(_linear(weights[f"dense_{i}"]))
    self.merge = _linear(weights["merge"])

  def forward(self, tokens):
    real = (tokens != 0)[..., None]
    x = self.bytes(tokens) * real + self.position
    for norm, conv, dense in zip(self.norms, self.convs, self.denses, strict=True):
      h = conv((norm(x) * real).transpose(1, 2)).transpose(1, 2)
      x = x + dense(_gelu(h))
    n, length, width = x.shape
    return self.merge((x * real).reshape(n, length // 4, 4 * width)), real.reshape(n, -1, 4).any(-1)


class _Block(nn.Module):
  def __init__(self, weights, names, heads):
    super().__init__()
    self.names, self.heads = names, heads
    parts = ("modulation", "qkv", "out", "up", "down")
    self.layers = nn.ModuleDict({f"{n}_{p}": _linear(weights[f"{n}_{p}"]) for n in names for p in parts})
    self.norms = nn.ParameterDict(
      {f"{n}_{k}": _parameter(weights[f"{n}_{k}_norm"]["scale"]) for n in names for k in ("query", "key")}
    )

  def forward(self, streams, conditions, rotations, mask):
    modulations, queries, keys, values = {}, [], [], []
    for name in self.names:
      x = streams[name]
      modulations[name] = self.layers[f"{name}_modulation"](F.silu(conditions[name])).chunk(6, -1)
      shift, scale, *_ = modulations[name]
      qkv = self.layers[f"{name}_qkv"](_modulate(x, shift, scale))
      q, k, v = qkv.reshape(x.shape[0], -1, self.heads, 3, qkv.shape[-1] // self.heads // 3).unbind(3)
      width = q.shape[-1:]
      queries.append(_rotate(F.rms_norm(q, width, self.norms[f"{name}_query"], 1e-6), *rotations[name]))
      keys.append(_rotate(F.rms_norm(k, width, self.norms[f"{name}_key"], 1e-6), *rotations[name]))
      values.append(v)
    q, k, v = (torch.cat(parts, 1).transpose(1, 2) for parts in (queries, keys, values))
    attended = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)
    out, start = {}, 0
    for name in self.names:
      x = streams[name]
      tokens = x.shape[1] * x.shape[2]
      _, _, gate, shift, scale, gate_mlp = modulations[name]
      y = self.layers[f"{name}_out"](attended[:, start : start + tokens])
      start += tokens
      x = x + gate[:, :, None] * y.reshape(x.shape)
      h = _gelu(self.layers[f"{name}_up"](_modulate(x, shift, scale)))
      out[name] = x + gate_mlp[:, :, None] * self.layers[f"{name}_down"](h)
    return out


class Twin(nn.Module):
  """A PyTorch copy of a `Transformer`, called with (clip, times [batch, frames], tokens [batch, length]).

  It has no mask for frames: a clip must not contain padding frames. Text may be padded.

  Args:
    model: the `Transformer` to copy.
    weights: its parameters, a nested dictionary with one entry per layer and stream.
  """

  def __init__(self, model, weights):
    super().__init__()
    self.senses, self.head_width, self.causal = model.senses, model.width // model.heads, model.causal
    self.names = ["text", *(s.name for s in model.senses)]
    self.text, self.pooled = _Text(weights["text"]), _linear(weights["pooled"])
    kinds = ("time", "condition", "in", "modulation", "out")
    self.layers = nn.ModuleDict(
      {f"{n}_{k}": _linear(weights[f"{n}_{k}"]) for n in self.names for k in kinds if f"{n}_{k}" in weights}
    )
    self.blocks = nn.ModuleList(
      _Block(weights[f"block_{i}"], self.names, model.heads) for i in range(model.depth)
    )

  def forward(self, clip, t, tokens):
    text, real = self.text(tokens)
    weight = real[..., None].to(text.dtype)
    pooled = self.pooled((text * weight).sum(1) / weight.sum(1))[:, None]
    features = _features(t)

    def condition(name, features):
      return self.layers[f"{name}_condition"](F.silu(self.layers[f"{name}_time"](features))) + pooled

    def rotation(places):
      angles = torch.from_numpy(rotary_angles(places, self.head_width))[:, None]
      return angles.cos(), angles.sin()

    streams, masks, frame = {"text": text[:, None]}, [real], [torch.full(text.shape[1:2], -1)]
    when = _features(torch.zeros(len(t), 1)) if self.causal else features.mean(1, keepdim=True)
    conditions = {"text": condition("text", when)}
    rotations = {"text": rotation(np.zeros((text.shape[1], 3), np.float32))}
    for sense in self.senses:
      x, name = clip[sense.name], sense.name
      n, frames = x.shape[:2]
      grid, axes = sense.grid(frames), len(sense.patch)
      x = x.reshape(n, *(v for pair in zip(grid, sense.patch, strict=True) for v in pair), sense.shape[-1])
      x = x.permute(0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1)
      x = x.reshape(n, grid[0], math.prod(grid[1:]), -1)
      streams[name] = self.layers[f"{name}_in"](x)
      conditions[name] = condition(name, features.reshape(n, grid[0], -1))
      rotations[name] = rotation(positions(sense, frames))
      masks.append(torch.ones(n, x.shape[1] * x.shape[2], dtype=torch.bool))
      frame.append(torch.arange(grid[0]).repeat_interleave(x.shape[2]) * sense.patch[0])
    mask, frame = torch.cat(masks, 1)[:, None, None], torch.cat(frame)
    if self.causal:
      mask = mask & (frame[None] <= frame[:, None])
    for block in self.blocks:
      streams = block(streams, conditions, rotations, mask)
    out = {}
    for sense in self.senses:
      x, name = streams[sense.name], sense.name
      shift, scale = self.layers[f"{name}_modulation"](F.silu(conditions[name])).chunk(2, -1)
      x = self.layers[f"{name}_out"](_modulate(x, shift, scale))
      n, frames, axes = x.shape[0], clip[name].shape[1], len(sense.patch)
      x = x.reshape(n, *sense.grid(frames), *sense.patch, sense.shape[-1])
      x = x.permute(0, *(axis for i in range(axes) for axis in (1 + i, 1 + axes + i)), 2 * axes + 1)
      out[name] = x.reshape(clip[name].shape)
    return out
