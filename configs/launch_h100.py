"""A run on four machines with eight H100 each, as a Slurm job: a description for experiments.launch, to copy.

python -m experiments.launch --run=configs/launch_h100.py --client=slurm --dry_run

Hardware: 4 x 8 H100. Time, result: none, it has not been run on GPUs. `stale_jax.launching.Run` documents the
fields. For machines without Slurm, use --client=ssh with --run.hosts.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  return ConfigDict(
    {
      "job": "stale-1b",
      "config": "configs/stale_1b.py:480p",
      "workdir": "/shared/runs/stale-1b",
      "topology": "h100:8",
      "slices": 4,
      "overrides": ("mesh.data=4", "mesh.fsdp=8", "mesh.context=1", "mesh.ulysses=1", "training.batch=32"),
      "restarts": 50,
      "directory": "/shared/stale_jax",
      "partition": "",
      "account": "",
      "hours": 24.0,
    }
  )
