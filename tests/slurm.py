"""A Slurm cluster of two machines with GPUs, both of them this one: its real daemons, in a folder."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
_CONFIG = """\
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
ReturnToService=2
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
GresTypes=gpu
KillWait=60
JobRequeue=1
SchedulerParameters=bf_interval=1,sched_interval=1
NodeName=one NodeHostname={host} Port={first} CPUs=1 RealMemory=1000 Gres=gpu:h100:8 State=UNKNOWN
NodeName=two NodeHostname={host} Port={second} CPUs=1 RealMemory=1000 Gres=gpu:h100:8 State=UNKNOWN
PartitionName=all Nodes=one,two Default=YES MaxTime=INFINITE State=UP
"""


def is_installed() -> bool:
  """Whether Slurm is installed, and this is the superuser, as whom it runs."""
  return os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))


@contextlib.contextmanager
def cluster(folder: Path):
  """Inside, the environment variables with which Slurm's commands find the cluster."""
  folder.mkdir()
  folder.chmod(0o755)
  host = socket.gethostname()
  ports = dict(zip(("port", "first", "second"), _free(3), strict=True))
  (folder / "slurm.conf").write_text(_CONFIG.format(host=host, folder=folder, **ports))
  (folder / "gres.conf").write_text(f"Name=gpu Type=h100 File={folder}/gpu[0-7]\n")
  for number in range(8):
    (folder / f"gpu{number}").touch()
  (folder / "munge.key").write_bytes(os.urandom(128))
  (folder / "munge.key").chmod(0o400)
  (folder / "state").mkdir()
  environment = {"SLURM_CONF": str(folder / "slurm.conf")}
  of_munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
  daemons = [
    ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *of_munge],
    ["slurmctld", "-D", "-c", "-i"],
    ["slurmd", "-D", "-N", "one"],
    ["slurmd", "-D", "-N", "two"],
  ]
  with contextlib.ExitStack() as stack:
    for number, command in enumerate(daemons):
      log = stack.enter_context((folder / f"daemon.{number}").open("w"))
      process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
      stack.callback(process.wait)
      stack.callback(process.terminate)
      time.sleep(0.5)
    for _ in range(300):
      said = ask(environment, "sinfo", "--noheader", "--format=%T %D")
      if said.strip() == "idle 2":
        break
      time.sleep(0.1)
    else:
      raise TimeoutError(said + "".join(path.read_text() for path in folder.glob("*.log")))
    try:
      yield environment
    finally:
      ask(environment, "scancel", "--signal=KILL", "--full", "--user=root")


def ask(environment, *command: str) -> str:
  """What a command of Slurm prints."""
  done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
  return done.stdout + done.stderr


def _free(count: int) -> list[int]:
  with contextlib.ExitStack() as stack:
    found = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
    return [one.getsockname()[1] for one in found]
