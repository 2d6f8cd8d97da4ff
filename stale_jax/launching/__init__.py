"""Launches a run on several hosts: its description, and its clients (xpk, queued, slurm, ssh)."""

from stale_jax.launching.description import Run
from stale_jax.launching.launch import Launch
from stale_jax.launching.queued import queued
from stale_jax.launching.slurm import slurm
from stale_jax.launching.ssh import ssh
from stale_jax.launching.xpk import xpk

CLIENTS = {"xpk": xpk, "queued": queued, "slurm": slurm, "ssh": ssh}

__all__ = ["CLIENTS", "Launch", "Run"]
