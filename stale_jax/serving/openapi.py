"""The description of the HTTP interface (OpenAPI 3.1), and a page that shows it without a script."""

import dataclasses
import html
import json
from typing import Any

from stale_jax.media.page import document
from stale_jax.serving.refusal import CODES
from stale_jax.serving.server import Server
from stale_jax.serving.wire import MESSAGES

_TEXT = {"type": "string"}


def describe(server: Server) -> dict[str, Any]:
  """The OpenAPI document of `server`."""
  video = {"$ref": "#/components/schemas/Video"}
  listed = _object(object=_TEXT, data={"type": "array", "items": video}, has_more={"type": "boolean"})
  deleted = _object(id=_TEXT, object=_TEXT, deleted={"type": "boolean"})
  name = _parameter("video_id", "path", _TEXT)
  page = [
    _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    _parameter("order", "query", {"type": "string", "enum": ["asc", "desc"]}),
    _parameter("after", "query", _TEXT),
  ]
  variant = _parameter(
    "variant", "query", {"type": "string", "enum": ["video", "thumbnail", "spritesheet"], "default": "video"}
  )
  paths = {
    "/health": {"get": _operation("State of the server; 503 unless it admits streams", _answer(_health()))},
    "/metrics": {"get": _operation("Prometheus metrics", _file("text/plain"))},
    "/live": {
      "get": _operation("WebSocket of a stream; see the table of messages", {"101": _said("stream")})
    },
    "/v1/models": {"get": _operation("The model that the server serves", _answer(_object(object=_TEXT)))},
    "/v1/videos": {
      "post": _operation("Create a video job", _answer(video), body=_wish(server)),
      "get": _operation("List video jobs", _answer(listed), page),
    },
    "/v1/videos/{video_id}": {
      "get": _operation("Retrieve a video job", _answer(video), [name]),
      "delete": _operation("Delete a video and its files", _answer(deleted), [name]),
    },
    "/v1/videos/{video_id}/content": {
      "get": _operation("Download a finished video", _file("video/mp4"), [name, variant])
    },
  }
  error = _object(message=_TEXT, type=_TEXT, param=_TEXT, code={"type": "string", "enum": list(CODES)})
  components: dict[str, Any] = {"schemas": {"Video": _video(), "Error": _object(error=error)}}
  document = {
    "openapi": "3.1.0",
    "info": {
      "title": "stale_jax live",
      "version": "1",
      "description": f"Movies made by the model {server.model}. All media are generated.",
    },
    "paths": paths,
    "components": components,
  }
  if server.access is not None:
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
  return document


def page(server: Server) -> str:
  """The document, the messages of the WebSocket and the error codes as HTML."""
  spec, parts = describe(server), []
  for path, operations in spec["paths"].items():
    for method, operation in operations.items():
      rows = "".join(
        f"<tr><td><code>{html.escape(p['name'])}</code></td><td>{p['in']}</td>"
        f"<td><code>{html.escape(json.dumps(p['schema']))}</code></td></tr>"
        for p in operation.get("parameters", ())
      )
      body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
      rows += "".join(
        f"<tr><td><code>{html.escape(key)}</code></td><td>body</td><td><code>"
        f"{html.escape(json.dumps(schema))}</code></td></tr>"
        for key, schema in body.get("properties", {}).items()
      )
      parts.append(
        f'<section class="movie"><h2>{method.upper()} {html.escape(path)}</h2>'
        f'<p class="facts">{html.escape(operation["summary"])}</p>{f"<table>{rows}</table>" if rows else ""}'
        "</section>"
      )
  messages = "".join(
    f"<tr><td><code>{kind}</code></td><td>{', '.join(f.name for f in dataclasses.fields(cls)) or 'none'}</td>"
    f"<td>{html.escape(cls.__doc__.splitlines()[0])}</td></tr>"
    for kind, cls in MESSAGES.items()
  )
  codes = "".join(
    f"<tr><td><code>{code}</code></td><td>{status}</td><td>{html.escape(text)}</td></tr>"
    for code, (status, text) in CODES.items()
  )
  content = (
    f'<main class="stale"><h1>stale_jax live</h1><p class="lead">{html.escape(spec["info"]["description"])} '
    f'The machine-readable document is <a href="/openapi.json">openapi.json</a>.</p>{"".join(parts)}'
    '<section class="movie"><h2>Messages to the WebSocket</h2><table><tr><th>type</th><th>fields</th>'
    f"<th>meaning</th></tr>{messages}</table></section>"
    '<section class="movie"><h2>Errors</h2><table><tr><th>code</th>'
    f"<th>status</th><th>meaning</th></tr>{codes}</table></section></main>"
  )
  return document("stale_jax live: interface", content)


def _object(**properties: Any) -> dict[str, Any]:
  return {"type": "object", "properties": properties}


def _said(text: str) -> dict[str, Any]:
  return {"description": text}


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
  return {"200": {"description": "success", "content": {"application/json": {"schema": schema}}}}


def _file(kind: str) -> dict[str, Any]:
  return {"200": {"description": "success", "content": {kind: {}}}}


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
  return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _operation(summary: str, answers: dict[str, Any], parameters=(), body=None) -> dict[str, Any]:
  error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
  answers = {**answers, "default": {"description": "a named error", "content": error}}
  operation = {"summary": summary, "responses": answers}
  if parameters:
    operation["parameters"] = list(parameters)
  if body:
    kinds = ("application/json", "multipart/form-data")
    operation["requestBody"] = {"required": True, "content": {kind: {"schema": body} for kind in kinds}}
  return operation


def _health() -> dict[str, Any]:
  status = {"type": "string", "enum": ["ok", "draining", "failed"]}
  count = {"type": "integer"}
  return _object(status=status, model=_TEXT, streams=count, capacity=count, period_seconds={"type": "number"})


def _wish(server: Server) -> dict[str, Any]:
  """The body of a new job."""
  schema = _object(
    prompt={"type": "string", "description": f"at most {server.prompt_bytes} bytes"},
    model={"type": "string", "enum": [server.model]},
    seconds={"type": "string", "description": f"at most {server.limits.job_seconds:g}", "default": "4"},
    size={"type": "string", "enum": [server.video_size]},
    seed={"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
  )
  return {**schema, "required": ["prompt"]}


def _video() -> dict[str, Any]:
  status = {"type": "string", "enum": ["queued", "in_progress", "completed", "failed"]}
  moment = {"type": ["integer", "null"], "description": "seconds since 1970"}
  return _object(
    id=_TEXT,
    object={"type": "string", "const": "video"},
    status=status,
    progress={"type": "integer", "minimum": 0, "maximum": 100},
    prompt=_TEXT,
    seed={"type": "integer"},
    seconds=_TEXT,
    size=_TEXT,
    model=_TEXT,
    created_at=moment,
    completed_at=moment,
    error={"type": ["object", "null"]},
    generated={"type": "boolean", "const": True},
  )
