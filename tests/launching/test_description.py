"""Which descriptions are taken, and how many hosts they come to."""

import dataclasses

import pytest

from configs import digits, launch_h100, launch_v5e
from stale_jax.construct import construct
from stale_jax.errors import UserError
from stale_jax.launching import CLIENTS, Run
from stale_jax.launching.topology import Topology

WHOLE = {
  "job": "digits",
  "config": "configs/digits.py",
  "workdir": "gs://bucket/digits",
  "topology": "v5e:16x16",
  "image": "us-docker.pkg.dev/project/images/stale",
  "project": "project",
  "zone": "us-west4-a",
  "cluster": "cluster",
  "hosts": ("a", "b"),
  "directory": "stale_jax",
}


# Machines and, in Kubernetes, nodes: the tables of the TPUs' pages.
@pytest.mark.parametrize(
  ("topology", "chips", "machines", "nodes"),
  [
    ("v5e:1x1", 1, 1, 1),
    ("v5e:2x2", 4, 1, 1),
    ("v5e:2x4", 8, 1, 2),
    ("v5e:16x16", 256, 64, 64),
    ("v6e:2x4", 8, 1, 2),
    ("v6e:4x4", 16, 4, 4),
    ("v6e:8x8", 64, 16, 16),
    ("v5p:2x2x1", 4, 1, 1),
    ("v5p:4x4x4", 64, 16, 16),
    ("v5p:4x4x20", 320, 80, 80),
    ("tpu7x:4x4x4", 64, 16, 16),
    ("h100:8", 8, 1, 1),
    ("l4:1", 1, 1, 1),
  ],
)
def test_hosts_of_a_topology(topology, chips, machines, nodes):
  topology = Topology.parse(topology)
  assert topology.chips == chips
  assert (topology.hosts(kubernetes=False), topology.hosts(kubernetes=True)) == (machines, nodes)


@pytest.mark.parametrize(
  ("topology", "xpk", "gcloud"),
  [
    ("v5e:16x16", "v5litepod-16x16", "v5litepod-256"),
    ("v5p:4x4x4", "v5p-4x4x4", "v5p-128"),
    ("v6e:8x8", "v6e-8x8", "v6e-64"),
  ],
)
def test_what_the_clients_call_it(topology, xpk, gcloud):
  topology = Topology.parse(topology)
  assert (topology.xpk_type(), topology.accelerator_type()) == (xpk, gcloud)


@pytest.mark.parametrize("topology", ["v5p:4x4x16", "v5p:4x4x20"])
def test_a_shape_that_gcloud_cannot_be_asked_for_is_refused(topology):
  with pytest.raises(UserError, match="xpk takes any shape"):
    Topology.parse(topology).accelerator_type()


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"job": "Digits"}, "lower-case"),
    ({"job": "8x"}, "the first must be a letter"),
    ({"job": "digits-"}, "the last must not be a hyphen"),
    ({"job": "d" * 41}, "up to 40"),
    ({"job": "a\nb"}, "one line of text"),
    ({"topology": "v5:16x16"}, "unknown generation: did you mean 'v5"),
    ({"topology": "v5e"}, "no such shape"),
    ({"topology": "v5e:16x15"}, "no such shape: did you mean '16x16'"),
    ({"topology": "v5e:4x4x4"}, "no such shape"),
    ({"topology": "v5p:4x4"}, "no such shape"),
    ({"topology": "v5p:8x4x4"}, "no such shape"),
    ({"topology": "v5p:0x4x4"}, "no such shape"),
    ({"topology": "h100:16"}, "no such shape"),
    ({"topology": "h10:8"}, "did you mean 'h100'"),
    ({"partition": "a b"}, "is not a name in Slurm"),
    ({"zone": "us-west4"}, "is not a zone"),
    ({"hours": -1.0}, "hours=-1.0 must lie from 0"),
    ({"slices": 0}, "slices=0 must lie from 1"),
    ({"slices": "2"}, "a whole number is needed"),
    ({"slices": True}, "a whole number is needed"),
    ({"restarts": -1}, "at least 0"),
    ({"spot": 1}, "True or False"),
    ({"overrides": ("model.depth 8",)}, "key=value"),
    ({"overrides": ("--config.seed=1",)}, "key=value"),
    ({"overrides": (8,)}, "a tuple of lines"),
    ({"overrides": "seed=1"}, "a tuple of lines"),
    ({"hosts": ("a b",)}, "is not a host"),
    ({"hosts": ("-oProxyCommand=x",)}, "is not a host"),
    ({"directory": "~/stale_jax"}, "relative to home"),
    ({"workdir": ""}, "run.workdir is empty"),
    ({"spot": True, "reservation": "r"}, "give one"),
    ({"slice": 2}, "did you mean 'slices'"),
  ],
)
def test_what_cannot_be_is_one_clear_line(changes, words):
  with pytest.raises(UserError, match=words):
    construct(Run, {**WHOLE, **changes}, "run")


@pytest.mark.parametrize("name", ["job", "config", "workdir", "topology"])
def test_what_every_client_needs(name):
  with pytest.raises(UserError, match=f"run.{name} is missing"):
    construct(Run, {key: value for key, value in WHOLE.items() if key != name}, "run")


@pytest.mark.parametrize(
  ("client", "changes", "words"),
  [
    ("xpk", {"cluster": "", "zone": ""}, "xpk needs run.zone and run.cluster"),
    ("xpk", {"image": ""}, "xpk needs run.image"),
    ("xpk", {"workdir": "runs/digits"}, "must outlive"),
    ("queued", {"project": ""}, "queued needs run.project"),
    ("queued", {"workdir": "/tmp/digits"}, "must outlive"),
    ("queued", {"topology": "tpu7x:4x4x4"}, "use xpk"),
    ("xpk", {"topology": "h100:8"}, "use slurm or ssh"),
    ("queued", {"topology": "h100:8"}, "use slurm or ssh"),
    ("slurm", {"directory": ""}, "slurm needs run.directory"),
    ("ssh", {"hosts": ()}, "ssh needs run.hosts"),
    ("ssh", {"topology": "h100:8", "slices": 3}, "lists 2 hosts; 3 x h100:8 has 3"),
    ("ssh", {"topology": "v5p:4x4x4"}, "lists 2 hosts; 1 x v5p:4x4x4 has 16"),
    ("ssh", {"topology": "v5p:2x2x2", "slices": 2}, "lists 2 hosts; 2 x v5p:2x2x2 has 4"),
  ],
)
def test_what_a_client_needs(client, changes, words):
  with pytest.raises(UserError, match=words):
    CLIENTS[client](construct(Run, {**WHOLE, **changes}, "run"))


@pytest.mark.parametrize("client", ["xpk", "queued"])
def test_the_example_is_a_run_of_its_config(client):
  run = construct(Run, launch_v5e.get_config().to_dict(), "run")
  assert CLIENTS[client](run).processes == 64
  assert run.config == "configs/digits.py"
  for text in run.overrides:
    key, _, value = text.partition("=")
    assert digits.get_config()[key.split(".")[0]][key.split(".")[1]] != value


def test_the_example_for_gpus_has_a_process_for_each_machine():
  run = construct(Run, launch_h100.get_config().to_dict(), "run")
  assert CLIENTS["slurm"](run).processes == 4
  hosts = ("a", "b", "c", "d")
  assert CLIENTS["ssh"](dataclasses.replace(run, hosts=hosts)).processes == 4
