"""The packaged models, by file and by name."""

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "weights"
# The models of cartoons and of digits, the autoencoder, and a smaller causal model of digits.
CARTOONS = _FOLDER / "cartoons.safetensors"
DIGITS = _FOLDER / "digits.safetensors"
AUTOENCODER = _FOLDER / "autoencoder.safetensors"
CAUSAL = _FOLDER / "causal.safetensors"
# Names that can be used in place of a file or folder. Earlier runs call the model of digits "shipped".
NAMED = {
  "cartoons": CARTOONS,
  "digits": DIGITS,
  "causal": CAUSAL,
  "autoencoder": AUTOENCODER,
  "shipped": DIGITS,
}
DEFAULT = "cartoons"
