"""Named errors of the server: each has a code, a text, and the status of an HTTP response."""

import math

# code -> (HTTP status, what it means). The table of docs/serving.md.
CODES: dict[str, tuple[int, str]] = {
  "not_json": (400, "the message is not JSON"),
  "not_an_object": (400, "the message is JSON, but not an object"),
  "unknown_type": (400, "there is no message of this type"),
  "missing_field": (400, "a required field is missing"),
  "unknown_field": (400, "the message has a field that its type lacks"),
  "wrong_type": (400, "the value of a field has the wrong type"),
  "out_of_range": (400, "the value of a field is out of its range"),
  "prompt_too_long": (400, "the prompt has more bytes than the limit"),
  "prompt_invalid": (400, "the prompt is white space, or not valid UTF-8"),
  "message_too_long": (413, "the message or the body is larger than the limit"),
  "frame_too_large": (413, "the picture has more bytes than the limit"),
  "bad_picture": (400, "the bytes are not a picture that can be decoded"),
  "no_source": (400, "pictures are accepted only by streams that were opened with source"),
  "not_open": (409, "the first message must be open or resume"),
  "already_open": (409, "the connection has a stream already"),
  "too_fast": (429, "the client sends more messages than the rate limit"),
  "too_many_errors": (429, "the client has sent too many malformed messages"),
  "too_many_streams": (429, "the client has as many streams as one client may have"),
  "full": (503, "all streams that the machine can serve in time are taken"),
  "draining": (503, "the server is about to stop and admits nothing new"),
  "engine_failed": (503, "the engine has stopped after an internal error"),
  "no_such_stream": (404, "there is no such stream, or it has ended, or the token is wrong"),
  "superseded": (409, "another connection has resumed the stream"),
  "idle": (408, "nothing was received for as long as the idle limit"),
  "unauthorized": (401, "the access token is missing or wrong"),
  "foreign_origin": (403, "the request comes from a page of another site"),
  "no_such_video": (404, "there is no such video"),
  "not_ready": (409, "the video is not complete"),
  "model_not_found": (404, "the server serves another model"),
  "not_supported": (400, "the server does not support this parameter"),
}


class RefusalError(Exception):
  """A request that is refused.

  Attributes:
    code: key of CODES.
    message: what is wrong, with the value and what to do.
    retry_after: seconds after which a new attempt makes sense; None: the request must change.
    param: the field or parameter that is wrong, if any.
  """

  def __init__(self, code: str, message: str, *, retry_after: float | None = None, param: str | None = None):
    super().__init__(message)
    self.code, self.message, self.retry_after, self.param = code, message, retry_after, param

  @property
  def status(self) -> int:
    """The status of an HTTP response."""
    return CODES[self.code][0]

  @property
  def headers(self) -> dict[str, str]:
    """Headers of an HTTP response."""
    headers = {} if self.retry_after is None else {"Retry-After": str(math.ceil(self.retry_after))}
    return headers | ({"WWW-Authenticate": "Bearer"} if self.code == "unauthorized" else {})

  def event(self, fatal: bool) -> dict:
    """The message of a WebSocket; after a fatal error the connection is closed."""
    event = {"type": "error", "code": self.code, "message": self.message, "fatal": fatal}
    return event if self.retry_after is None else event | {"retry_after": self.retry_after}

  def body(self) -> dict:
    """The body of an HTTP response, in the shape of OpenAI's errors."""
    kind = "invalid_request_error" if self.status < 500 else "server_error"
    return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
