"""The models that come with the package, by file and by name."""

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "weights"
# The default model, the autoencoder, and the model for movies of any length.
SHIPPED = _FOLDER / "digits.safetensors"
AUTOENCODER = _FOLDER / "autoencoder.safetensors"
CAUSAL = _FOLDER / "causal.safetensors"
# Their names wherever a model is asked for.
NAMED = {"shipped": SHIPPED, "causal": CAUSAL}
