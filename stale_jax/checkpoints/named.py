"""The packaged models, by file and by name."""

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "weights"
# The model of digits, the autoencoder, and the causal model of digits for movies of any length.
DIGITS = _FOLDER / "digits.safetensors"
AUTOENCODER = _FOLDER / "autoencoder.safetensors"
CAUSAL = _FOLDER / "causal.safetensors"
SHIPPED = DIGITS  # The default model.
# Names that can be used in place of a file or folder.
NAMED = {"shipped": SHIPPED, "digits": DIGITS, "causal": CAUSAL, "autoencoder": AUTOENCODER}
