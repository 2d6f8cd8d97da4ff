"""The packaged models, by file and by name."""

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "weights"
# The default model, the autoencoder, and the causal model for movies of any length.
SHIPPED = _FOLDER / "digits.safetensors"
AUTOENCODER = _FOLDER / "autoencoder.safetensors"
CAUSAL = _FOLDER / "causal.safetensors"
# Names that can be used in place of a file or folder.
NAMED = {"shipped": SHIPPED, "causal": CAUSAL, "autoencoder": AUTOENCODER}
