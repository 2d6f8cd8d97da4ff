"""Trained models: where they lie and how they are loaded."""

from pathlib import Path

SHIPPED = Path(__file__).parent / "weights" / "digits.safetensors"


def find_weights(name: str) -> Path:
  """The file that `name` stands for: "shipped", or a path."""
  return SHIPPED if name == "shipped" else Path(name)
