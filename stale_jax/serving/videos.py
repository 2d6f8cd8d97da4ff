"""The HTTP routes of jobs, in the shape of OpenAI's `/v1/videos`: its client works with this server."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from stale_jax.serving.jobs import Job
from stale_jax.serving.refusal import RefusalError
from stale_jax.serving.server import Server
from stale_jax.serving.wire import check_prompt, check_seed

_DEFAULT_SECONDS = 4.0  # As OpenAI's.
_MOST_LISTED = 100
_KNOWN = ("prompt", "model", "seconds", "size", "seed")
_SHEET = 12  # Pictures of a spritesheet.


async def create(request: Request) -> Response:
  """Creates a job."""
  server: Server = request.app.state.server
  fields = await _fields(request, server.limits.message_bytes)
  for name in fields:
    if name not in _KNOWN:
      raise RefusalError(
        "not_supported", f"{name[:40]} is not supported; send {', '.join(_KNOWN)}.", param=name[:40]
      )
  if "prompt" not in fields:
    raise RefusalError("missing_field", "prompt is missing: say what the video shows.", param="prompt")
  if not isinstance(fields["prompt"], str):
    raise RefusalError("wrong_type", "prompt must be a string.", param="prompt")
  check_prompt(fields["prompt"], server.prompt_bytes)
  if fields.get("model", server.model) != server.model:
    raise RefusalError(
      "model_not_found", f"this server serves the model {server.model!r} alone.", param="model"
    )
  if fields.get("size", server.video_size) != server.video_size:
    raise RefusalError("out_of_range", f"this model makes videos of {server.video_size}.", param="size")
  seconds = _number(fields.get("seconds", _DEFAULT_SECONDS), "seconds")
  if not 0 < seconds <= server.limits.job_seconds:
    raise RefusalError(
      "out_of_range", f"seconds must lie above 0, up to {server.limits.job_seconds:g}.", param="seconds"
    )
  seed = fields.get("seed")
  if seed is not None:
    seed = _number(seed, "seed")
    if seed != int(seed):
      raise RefusalError("wrong_type", "seed must be an integer.", param="seed")
    check_seed(seed := int(seed))
  client = request.state.client
  job = await asyncio.to_thread(
    server.jobs.create, fields["prompt"], seed, seconds, server.video_size, client
  )
  return JSONResponse(job.public())


async def retrieve(request: Request) -> Response:
  """Describes a job."""
  return JSONResponse(request.app.state.server.jobs.find(request.path_params["video_id"]).public())


async def list_all(request: Request) -> Response:
  """Lists jobs, page by page."""
  query, server = request.query_params, request.app.state.server
  limit, order = query.get("limit", "20"), query.get("order", "desc")
  if not limit.isdecimal() or not 1 <= int(limit[:9]) <= _MOST_LISTED:
    raise RefusalError("out_of_range", f"limit must lie from 1 to {_MOST_LISTED}.", param="limit")
  if order not in ("asc", "desc"):
    raise RefusalError("out_of_range", "order must be asc or desc.", param="order")
  jobs: list[Job] = server.jobs.all()
  jobs = jobs if order == "asc" else jobs[::-1]
  if "after" in query:
    after = server.jobs.find(query["after"])
    jobs = jobs[jobs.index(after) + 1 :]
  shown = [job.public() for job in jobs[: int(limit)]]
  ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {}
  return JSONResponse({"object": "list", "data": shown, "has_more": len(jobs) > len(shown), **ends})


async def content(request: Request) -> Response:
  """The MP4 of a finished job, its first picture, or a sheet of its pictures."""
  server, name = request.app.state.server, request.path_params["video_id"]
  variant = request.query_params.get("variant", "video")
  path = server.jobs.video(name)
  if variant == "video":
    return FileResponse(path, media_type="video/mp4", filename=f"{name}.mp4")
  if variant not in ("thumbnail", "spritesheet"):
    raise RefusalError("out_of_range", "variant must be video, thumbnail or spritesheet.", param="variant")
  data = await asyncio.to_thread(_picture, path, variant)
  kind = "webp" if variant == "thumbnail" else "jpeg"
  return Response(data, media_type=f"image/{kind}")


async def delete(request: Request) -> Response:
  """Deletes a job and its files."""
  name = request.path_params["video_id"]
  await asyncio.to_thread(request.app.state.server.jobs.delete, name)
  return JSONResponse({"id": name, "object": "video.deleted", "deleted": True})


async def models(request: Request) -> Response:
  """Lists the model."""
  about = {"id": request.app.state.server.model, "object": "model", "created": 0, "owned_by": "stale_jax"}
  return JSONResponse({"object": "list", "data": [about]})


async def _fields(request: Request, most: int) -> dict[str, Any]:
  """The fields of a form or of a JSON object."""
  body = bytearray()
  async for piece in request.stream():
    body += piece
    if len(body) > most:
      raise RefusalError("message_too_long", f"the body has more than {most} bytes.")
  kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
  if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
    pieces = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

    async def receive():
      return next(pieces)

    form = await Request(request.scope, receive).form(max_files=0, max_fields=20)
    return dict(form)
  try:
    fields = json.loads(body.decode())
  except (ValueError, RecursionError) as error:
    raise RefusalError("not_json", "send a form or a JSON object.") from error
  if not isinstance(fields, dict):
    raise RefusalError("not_an_object", 'send a JSON object such as {"prompt": "a red seven"}.')
  return fields


def _number(value: Any, name: str) -> float:
  try:
    number = math.nan if isinstance(value, bool) else float(value)
  except (TypeError, ValueError):
    number = math.nan
  if not math.isfinite(number):
    raise RefusalError("wrong_type", f"{name} must be a number.", param=name)
  return number


def _picture(path: Path, variant: str) -> bytes:
  """The first picture of a video as WebP, or some of its pictures in one JPEG."""
  with av.open(str(path)) as file:
    frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
  if variant == "thumbnail":
    return cv2.imencode(".webp", frames[0][..., ::-1])[1].tobytes()
  stride = -(-len(frames) // _SHEET)
  sheet = np.concatenate([cv2.resize(frame, None, fx=0.5, fy=0.5) for frame in frames[::stride]], 1)
  return cv2.imencode(".jpg", sheet[..., ::-1])[1].tobytes()
