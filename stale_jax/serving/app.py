"""The routes of the server."""

import contextlib
import time
from collections.abc import AsyncIterator

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from stale_jax.serving import openapi, videos
from stale_jax.serving.access import check_headers, check_origin
from stale_jax.serving.logs import log
from stale_jax.serving.page import ASSETS, asset, live_page
from stale_jax.serving.refusal import RefusalError
from stale_jax.serving.server import Server
from stale_jax.serving.session import Session

_OPEN = ("/", "/health", *ASSETS)  # Paths that need no access token: they reveal and cost nothing.
# The page may load nothing from elsewhere, and no other page may embed it.
_POLICY = (
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
  "media-src 'self' blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; "
  "form-action 'none'"
)


def build_app(server: Server) -> Starlette:
  """The ASGI application; it starts and stops the threads of `server`."""

  @contextlib.asynccontextmanager
  async def lifespan(_: Starlette) -> AsyncIterator[None]:
    server.live.start()
    server.jobs.start()
    yield
    server.live.stop()
    server.jobs.stop()

  routes = [
    Route("/", _page),
    *[Route(path, _asset) for path in ASSETS],
    Route("/docs", _docs),
    Route("/openapi.json", _openapi),
    Route("/health", _health),
    Route("/metrics", _metrics),
    WebSocketRoute("/live", _live),
    Route("/v1/models", videos.models),
    Route("/v1/videos", videos.create, methods=["POST"]),
    Route("/v1/videos", videos.list_all),
    Route("/v1/videos/{video_id}", videos.retrieve),
    Route("/v1/videos/{video_id}", videos.delete, methods=["DELETE"]),
    Route("/v1/videos/{video_id}/content", videos.content),
  ]
  handlers = {RefusalError: _refused, HTTPException: _failed}
  app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
  app.state.server = server
  app.add_middleware(_Gate, server=server)
  return app


class _Gate:
  """Checks origin and access token before anything else, logs requests, and marks responses as generated."""

  def __init__(self, app: ASGIApp, server: Server):
    self._app, self._server = app, server

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return
    request, began = Request(scope), time.monotonic()
    scope.setdefault("state", {})["client"] = _address(request)

    async def marked(message: Message) -> None:
      if message["type"] == "http.response.start":
        by = f"stale_jax, model {self._server.model}"
        extra = {"X-Generated-By": by, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        extra["Content-Security-Policy"] = _POLICY
        message["headers"] = [
          *message["headers"],
          *((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in extra.items()),
        ]
        seconds = round(time.monotonic() - began, 4)
        if scope["path"] not in ("/health", "/metrics"):
          about = {"method": scope["method"], "path": scope["path"], "status": message["status"]}
          log("request", client=request.state.client, seconds=seconds, **about)
      await send(message)

    try:
      check_origin(self._server.access, request.headers)
      if scope["path"] not in _OPEN:
        check_headers(self._server.access, request.headers)
    except RefusalError as error:
      await _refused(request, error, self._server)(scope, receive, marked)
      return
    await self._app(scope, receive, marked)


def _address(connection: Request | WebSocket) -> str:
  return connection.client.host if connection.client else "unknown"


def _refused(request: Request, error: RefusalError, server: Server | None = None) -> Response:
  server = server or request.app.state.server
  server.metrics.refusals.labels(error.code).inc()
  return JSONResponse(error.body(), error.status, headers=error.headers)


def _failed(_: Request, error: HTTPException) -> Response:
  """Errors of the framework: no such path, wrong method, malformed form."""
  body = {"message": str(error.detail), "type": "invalid_request_error", "param": None, "code": None}
  return JSONResponse({"error": body}, error.status_code, headers=error.headers)


async def _page(request: Request) -> Response:
  return HTMLResponse(live_page(request.app.state.server), headers={"Cache-Control": "no-cache"})


async def _asset(request: Request) -> Response:
  text, kind = asset(request.url.path)
  return Response(text, media_type=kind, headers={"Cache-Control": "no-cache"})


async def _docs(request: Request) -> Response:
  return HTMLResponse(openapi.page(request.app.state.server))


async def _openapi(request: Request) -> Response:
  return JSONResponse(openapi.describe(request.app.state.server))


async def _health(request: Request) -> Response:
  health = request.app.state.server.health()
  return JSONResponse(health, 200 if health["status"] == "ok" else 503)


async def _metrics(request: Request) -> Response:
  data = generate_latest(request.app.state.server.metrics.registry)
  return Response(data, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _live(socket: WebSocket) -> None:
  server: Server = socket.app.state.server
  try:
    check_origin(server.access, socket.headers)
  except RefusalError as error:
    server.metrics.refusals.labels(error.code).inc()
    await socket.close(1008, error.code)
    return
  await Session(server, socket, _address(socket)).run()
