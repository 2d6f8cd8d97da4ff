"""A bucket of Google Cloud Storage on this machine, spoken to over HTTP as the real one is."""

import contextlib
import functools
import json
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from http import HTTPStatus

BUCKET = "gs://bucket"


@contextlib.contextmanager
def storage():
  """Inside, the environment's variables that lead gcsfs and TensorStore to a server of its own process."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
  url = f"http://localhost:{port}"
  quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
  server = subprocess.Popen([sys.executable, __file__, str(port)], **quiet)
  try:
    for _ in range(300):
      with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{url}/storage/v1/b/bucket").read()
        break
      time.sleep(0.1)
    yield {
      "STORAGE_EMULATOR_HOST": url,
      "TENSORSTORE_GCS_HTTP_URL": url,
      "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
    }
  finally:
    server.kill()
    server.wait()


def fetch(environment: dict[str, str], path: str) -> bytes:
  """The bytes at gs://bucket/`path`."""
  return _ask(environment, f"storage/v1/b/bucket/o/{urllib.parse.quote(path, safe='')}?alt=media")


def put(environment: dict[str, str], path: str, data: bytes) -> None:
  """Writes them."""
  name = urllib.parse.quote(path, safe="")
  _ask(environment, f"upload/storage/v1/b/bucket/o?uploadType=media&name={name}", data)


def names(environment: dict[str, str], prefix: str) -> list[str]:
  """Of what lies under gs://bucket/`prefix`."""
  name = urllib.parse.quote(prefix, safe="")
  found = json.loads(_ask(environment, f"storage/v1/b/bucket/o?prefix={name}"))
  return [item["name"] for item in found.get("items", [])]


def _ask(environment: dict[str, str], what: str, data: bytes | None = None) -> bytes:
  return urllib.request.urlopen(f"{environment['STORAGE_EMULATOR_HOST']}/{what}", data).read()


def _serve(port: int) -> None:
  """The emulator, and what it lacks: generations are told, and asked after (TensorStore relies on it)."""
  from gcp_storage_emulator import server
  from gcp_storage_emulator.handlers import objects

  about_one_object = (objects.get, objects.download, objects.insert, objects.delete)
  for _, handlers in server.HANDLERS:
    for method, handle in handlers.items():
      if handle in about_one_object:
        handlers[method] = functools.partial(_with_generations, handle)
  server.create_server("localhost", port, in_memory=True, default_bucket="bucket").run()


def _with_generations(handle, request, response, storage) -> None:
  from gcp_storage_emulator.exceptions import NotFound

  name = request.params.get("object_id") or request.query.get("name", [""])[0]
  try:
    now = storage.get_file_obj(request.params["bucket_name"], name)["generation"]
  except NotFound:
    now = "0"
  if request.query.get("ifGenerationMatch", [now])[0] != now:
    response.status = HTTPStatus.PRECONDITION_FAILED
  elif request.query.get("ifGenerationNotMatch", [None])[0] == now:
    response.status = HTTPStatus.NOT_MODIFIED
  else:
    if request.query.get("alt") == ["media"]:
      response["x-goog-generation"] = now
    handle(request, response, storage)


if __name__ == "__main__":
  _serve(int(sys.argv[1]))
