"""Rates, access tokens, and pages of other sites."""

import pytest

from stale_jax.errors import UserError
from stale_jax.serving.access import check_access, check_headers, check_origin, is_loopback, read_access_token
from stale_jax.serving.limits import Limits, TokenBucket
from stale_jax.serving.refusal import CODES, RefusalError


def test_a_bucket_admits_a_burst_and_then_its_rate():
  now = [0.0]
  bucket = TokenBucket(2.0, 5, clock=lambda: now[0])
  assert [bucket.take() for _ in range(7)] == [True] * 5 + [False] * 2
  now[0] = 0.5
  assert bucket.take() and not bucket.take()
  now[0] = 100.0
  assert sum(bucket.take() for _ in range(20)) == 5


def test_limits_are_checked():
  with pytest.raises(UserError, match="limits.backlog=0 must be at least 1|limits.backlog=0"):
    Limits(backlog=0)


@pytest.mark.parametrize(
  ("host", "loopback"),
  [("127.0.0.1", True), ("127.3.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True)]
  + [("0.0.0.0", False), ("10.0.0.1", False), ("::", False), ("example.org", False)],
)
def test_only_loopback_needs_no_token(host, loopback, tmp_path):
  assert is_loopback(host) == loopback
  if loopback:
    assert read_access_token(host, None) is None
  else:
    with pytest.raises(UserError, match="--token_file=FILE"):
      read_access_token(host, None)
  token = tmp_path / "token"
  token.write_text("a-long-enough-token\n")
  assert read_access_token(host, str(token)) == "a-long-enough-token"


@pytest.mark.parametrize("text", ["short", "", "has spaces in its middle", "ünicode-ünicode-ünicode"])
def test_weak_tokens_are_refused(tmp_path, text):
  (tmp_path / "token").write_text(text)
  with pytest.raises(UserError, match="at least 16 ASCII characters"):
    read_access_token("0.0.0.0", str(tmp_path / "token"))
  with pytest.raises(UserError, match="cannot read --token_file"):
    read_access_token("0.0.0.0", str(tmp_path / "nothing"))


def test_access_is_checked():
  check_access(None, "")
  check_access("secret", "secret")
  check_headers("secret", {"authorization": "Bearer secret"})
  for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "Basic secret"}):
    with pytest.raises(RefusalError) as refused:
      check_headers("secret", headers)
    assert refused.value.code == "unauthorized" and refused.value.status == 401


@pytest.mark.parametrize(
  ("access", "headers", "good"),
  [
    (None, {"host": "127.0.0.1:8000"}, True),
    (None, {"host": "localhost:8000", "origin": "http://localhost:8000"}, True),
    (None, {"host": "[::1]:8000"}, True),
    (None, {"host": "127.0.0.1:8000", "origin": "https://evil.example"}, False),
    (None, {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:9000"}, False),
    (None, {"host": "127.0.0.1:8000", "origin": "null"}, False),
    (None, {"host": "evil.example:8000", "origin": "http://evil.example:8000"}, False),
    ("secret", {"host": "movies.example", "origin": "https://movies.example"}, True),
    ("secret", {"host": "movies.example", "origin": "https://evil.example"}, False),
  ],
)
def test_pages_of_other_sites_are_refused(access, headers, good):
  if good:
    check_origin(access, headers)
  else:
    with pytest.raises(RefusalError) as refused:
      check_origin(access, headers)
    assert refused.value.code == "foreign_origin"


def test_every_code_has_a_status_and_a_meaning():
  for code, (status, text) in CODES.items():
    assert 400 <= status < 600 and text
    error = RefusalError(code, "text", retry_after=1.5)
    assert error.headers["Retry-After"] == "2" and error.body()["error"]["code"] == code
