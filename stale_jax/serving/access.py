"""Who may use the server: loopback without a token, other machines with one, pages of other sites never."""

import hmac
import ipaddress
from collections.abc import Mapping
from pathlib import Path

from stale_jax.errors import UserError
from stale_jax.serving.refusal import RefusalError

_LEAST = 16  # Characters of an access token.


def is_loopback(host: str) -> bool:
  """Whether only this machine can reach `host`; False for names other than localhost."""
  try:
    return ipaddress.ip_address(host.strip("[]")).is_loopback
  except ValueError:
    return host.lower() == "localhost"


def read_access_token(host: str, path: str | None) -> str | None:
  """Reads the access token from the file `path`; None if the server needs none.

  Raises:
    UserError: the file cannot be read, the token is short, or `host` needs one and there is none.
  """
  if path is None:
    if not is_loopback(host):
      raise UserError(
        f"--host={host} is reachable from other machines, which needs an access token: give "
        f"--token_file=FILE with at least {_LEAST} characters, or --host=127.0.0.1."
      )
    return None
  try:
    token = Path(path).read_text(encoding="utf-8").strip()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"cannot read --token_file={path}: {error}.") from error
  if len(token) < _LEAST or not token.isascii() or any(c.isspace() for c in token):
    raise UserError(
      f"the access token in {path} must have at least {_LEAST} ASCII characters without spaces."
    )
  return token


def check_access(expected: str | None, given: str) -> None:
  """Raises RefusalError if an access token is needed and `given` is another."""
  if expected is not None and not hmac.compare_digest(expected.encode(), given.encode()):
    raise RefusalError("unauthorized", "the access token is missing or wrong.")


def check_headers(expected: str | None, headers: Mapping[str, str]) -> None:
  """Checks the header "Authorization: Bearer TOKEN" of a request, see `check_access`."""
  kind, _, token = headers.get("authorization", "").partition(" ")
  check_access(expected, token.strip() if kind.lower() == "bearer" else "")


def check_origin(expected: str | None, headers: Mapping[str, str]) -> None:
  """Refuses requests of pages of other sites, which the browser of a user on this machine could make.

  Without an access token, the header Host must also be a loopback address: the name of another site may
  point to this machine (DNS rebinding).

  Raises:
    RefusalError: the page or the host is another.
  """
  host, origin = headers.get("host", ""), headers.get("origin")
  if origin is not None and origin.partition("://")[2] != host:
    raise RefusalError("foreign_origin", f"requests of pages of {origin} are refused.")
  if expected is None and host and not is_loopback(_without_port(host)):
    raise RefusalError("foreign_origin", f"the host {host} is not this machine; use localhost or 127.0.0.1.")


def _without_port(host: str) -> str:
  """The host without its port; "[::1]" for "[::1]:8000"."""
  name, colon, port = host.rpartition(":")
  return name if colon and port.isdecimal() and (name.count(":") == 0 or name.endswith("]")) else host
