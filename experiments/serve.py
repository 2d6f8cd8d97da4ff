"""Serves live movies: streams over WebSockets, videos as jobs in the shape of OpenAI's, and a page.

python -m experiments.serve [--workdir=causal] [--port=8000] [--steps=8] [--streams=16] [--videos=FOLDER]

Only this machine can reach the server, unless --host names another address; that needs --token_file. The
log is one JSON object per line on stderr. SIGTERM lets streams and jobs finish (docs/serving.md).
"""

import os

from absl import flags

from experiments.main import run

WORKDIR = flags.DEFINE_string(
  "workdir", "causal", "A run, weights, or the name of a packaged model, which must be causal."
)
HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; other machines need --token_file.")
PORT = flags.DEFINE_integer(
  "port", 8000, "Port to listen on; 0: a free one.", lower_bound=0, upper_bound=65535
)
TOKEN_FILE = flags.DEFINE_string("token_file", None, "File with the access token that clients must send.")
VIDEOS = flags.DEFINE_string(
  "videos", None, "Folder to keep the videos of jobs in; default: a temporary one, deleted at the end."
)
STEPS = flags.DEFINE_integer("steps", 8, "Number of noise levels: solver steps per chunk.", lower_bound=1)
GUIDANCE = flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; default: the config's.")
STREAMS = flags.DEFINE_integer(
  "streams", 16, "Largest number of streams; fewer if the device is not fast enough.", lower_bound=1
)
SOURCE = flags.DEFINE_bool("source", False, "Accept pictures of clients, for video-to-video.")
RESUME_SECONDS = flags.DEFINE_float(
  "resume_seconds", 30.0, "Time for which a stream without a connection is kept.", lower_bound=0
)
IDLE_SECONDS = flags.DEFINE_float(
  "idle_seconds", 120.0, "Time after which a silent connection is closed.", lower_bound=1
)
DRAIN_SECONDS = flags.DEFINE_float(
  "drain_seconds", 20.0, "Time that streams and jobs have after SIGTERM.", lower_bound=0
)
PER_CLIENT = flags.DEFINE_integer(
  "streams_per_client", 8, "Streams that one address may have.", lower_bound=1
)


def main() -> None:
  os.environ["STALE_JAX_QUIET"] = "1"  # Progress is part of the log.
  from stale_jax.files import check_on_disk

  check_on_disk("--", token_file=TOKEN_FILE.value, videos=VIDEOS.value)
  try:
    from stale_jax.serving import launch
    from stale_jax.serving.access import read_access_token
    from stale_jax.serving.limits import Limits
    from stale_jax.serving.logs import log, log_to_stderr
  except ModuleNotFoundError as error:
    from stale_jax.errors import UserError

    raise UserError(f"the package {error.name} is missing: pip install 'stale_jax[serve]'.") from error
  from stale_jax.pipeline import load

  access = read_access_token(HOST.value, TOKEN_FILE.value)
  limits = Limits(
    resume_seconds=RESUME_SECONDS.value,
    idle_seconds=IDLE_SECONDS.value,
    drain_seconds=DRAIN_SECONDS.value,
    streams_per_client=PER_CLIENT.value,
  )
  log_to_stderr()
  listening = launch.bound(HOST.value, PORT.value)
  log("loading", model=WORKDIR.value)
  with launch.job_folder(VIDEOS.value) as folder:
    server = launch.build_server(
      load(WORKDIR.value),
      folder=folder,
      steps=STEPS.value,
      guidance=GUIDANCE.value,
      most_streams=STREAMS.value,
      limits=limits,
      access=access,
      takes_sources=SOURCE.value,
    )
    launch.run(server, listening)


if __name__ == "__main__":
  run(main)
