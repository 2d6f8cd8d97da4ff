# The image that the launch clients run (run.image); its working directory is this repository.
#
#   docker build --build-arg ACCELERATOR=tpu -t us-docker.pkg.dev/PROJECT/IMAGES/stale_jax:tpu .
#   docker build --build-arg ACCELERATOR=cuda -t us-docker.pkg.dev/PROJECT/IMAGES/stale_jax:cuda .
#
# The wheels of JAX contain the CUDA libraries; a GPU machine needs only NVIDIA's driver and container toolkit.
FROM python:3.12-slim
ARG ACCELERATOR=tpu
WORKDIR /stale_jax
ENV PYTHONUNBUFFERED=1
# The dependencies are a layer of their own, which a change of the code does not rebuild.
COPY setup.py README.md ./
RUN pip install --no-cache-dir --editable ".[${ACCELERATOR},gcs]"
COPY stale_jax stale_jax
COPY configs configs
COPY experiments experiments
RUN pip install --no-cache-dir --no-deps --editable . && python -m experiments.train --help
