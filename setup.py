"""Packaging of stale_jax."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

_CURATE = ["apache-beam>=2.77", "scenedetect-headless>=0.7,<0.8"]
# The server, and what its web framework needs to read forms and WebSockets.
_SERVE = ["prometheus-client", "python-multipart", "starlette>=0.40", "uvicorn>=0.30", "websockets>=13"]
_LIBTPU = "jax[tpu]>=0.10,<0.13; sys_platform == 'linux' and platform_machine == 'x86_64'"

setup(
  name="stale_jax",
  version="0.1.0",
  description="Maximum-entropy video diffusion in JAX",
  long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  author="The stale_jax maintainers",
  project_urls={"Paper": "https://arxiv.org/abs/2404.01079"},
  license="Apache-2.0",
  classifiers=[
    "Development Status :: 3 - Alpha",
    "Intended Audience :: Science/Research",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Topic :: Multimedia :: Video",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
  ],
  python_requires=">=3.11,<3.14",
  packages=find_namespace_packages(include=["stale_jax*", "configs*", "experiments*"]),
  package_data={
    "stale_jax": ["weights/*"],
    "stale_jax.media": ["*.css", "*.js"],
    "stale_jax.serving": ["live.*"],
  },
  install_requires=[
    "absl-py",
    "array_record",
    "av>=14",
    "chex",
    "etils[epath]",
    "flax>=0.12",
    "fsspec",
    "grain>=0.2.10",
    "importlib_resources",  # Of tensorflow-datasets, which forgets to ask for it.
    "jax>=0.10,<0.13",
    "jaxtyping",
    "ml-collections>=1.0",
    "numpy",
    "opencv-python-headless>=4.12",
    "optax>=0.2.6",
    "orbax-checkpoint>=0.11.20",
    "tensorstore",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tensorboardX",
    "tensorflow-datasets",
    "threadpoolctl",
  ],
  extras_require={
    "tpu": ["jax[tpu]>=0.10,<0.13"],
    "cuda": ["jax[cuda13]>=0.10,<0.13"],
    # libtpu, of the version that this JAX names, holds the TPU's compiler; it needs no TPU.
    "plan": [_LIBTPU],
    # To train and load at gs://BUCKET/FOLDER, and to read videos there.
    "gcs": ["gcsfs"],
    # To make data sets of clips from folders of videos.
    "curate": _CURATE,
    # To serve movies live, and to load a server.
    "serve": _SERVE,
    "dev": [
      *_CURATE,
      *_SERVE,
      "beartype",
      "distributed",  # For Beam's Dask runner.
      "gcp-storage-emulator",
      "gcsfs",
      "lxml",
      "openai",  # The client of the server's jobs.
      "pillow",  # For experiments.cartoon_pictures.
      "pytest",
      "pytest-xdist",
      "ruff",
    ],
  },
)
