"""A run on 256 chips of TPU v5e (64 hosts): a description for experiments.launch, to copy and fill in.

python -m experiments.launch --run=configs/launch_v5e.py --client=xpk --dry_run
python -m experiments.launch --run=configs/launch_v5e.py --client=queued --dry_run

Hardware: 256 chips of TPU v5e. Time, result: none, it has not been run, since the project has no TPUs.
stale_jax.launching.Run documents the fields. For ssh, set hosts and directory instead of image, project, zone
and cluster.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  return ConfigDict(
    {
      "job": "digits",
      "config": "configs/digits.py",
      "workdir": "gs://my-bucket/digits",
      "topology": "v5e:16x16",
      "slices": 1,
      "overrides": ("mesh.fsdp=4", "training.batch=1024"),
      "restarts": 50,
      "image": "us-docker.pkg.dev/my-project/my-images/stale_jax:latest",
      "project": "my-project",
      "zone": "us-west4-a",
      "cluster": "my-cluster",
      "spot": False,
      "reservation": "",
      "hosts": (),
      "directory": "",
    }
  )
