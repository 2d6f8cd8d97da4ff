"""Bash code that runs a command, forwards SIGTERM to it, and restarts it when it fails."""

import shlex
from collections.abc import Sequence

# Runs its arguments. After SIGTERM, training saves and exits with 0, which must not be mistaken for the end
# of the training: `attend` then returns 143, as for a process that SIGTERM killed. (The exit code itself is
# lost: a signal ends bash's `wait`, and a second `wait` may not return it.)
ATTEND = (
  "stopped=; attend() { "
  "trap 'stopped=1; kill -TERM \"$child\" 2>/dev/null' TERM INT; "
  '"$@" & child=$!; [ -z "$stopped" ] || kill -TERM "$child"; '
  'wait "$child"; local code=$?; [ -n "$stopped" ] || return "$code"; '
  'while kill -0 "$child" 2>/dev/null; do wait "$child"; done; return 143; }'
)
_RESTARTING = """\
# Runs its arguments, and again when they fail, up to RESTARTS times. Exit code 2 is wrong usage, for which
# a restart does not help.
restarting() {
  local restart code
  for ((restart = 0; ; restart++)); do
    attend "$@"
    code=$?
    if [ -n "$stopped" ] || ((code == 0 || code == 2 || restart == RESTARTS)); then return "$code"; fi
    echo "exit code $code: restart $((restart + 1)) of $RESTARTS in $PAUSE s" >&2
    attend sleep "$PAUSE" || return
  done
}
"""
_PAUSE = 10  # Seconds before a restart, so that the other hosts notice the failure.


def attended(command: Sequence[str]) -> str:
  """One line of bash that runs `command` and returns 143 if SIGTERM stopped it."""
  return f"{ATTEND}; attend {shlex.join(command)}"


def preamble(restarts: int) -> str:
  """The beginning of a script that calls `restarting COMMAND`."""
  return f"#!/bin/bash\nRESTARTS={restarts}\nPAUSE={_PAUSE}\n{ATTEND}\n{_RESTARTING}"


def together(commands: Sequence[str]) -> str:
  """The rest of a script that runs `commands`, lines of bash, in parallel, each with its own restarts.

  The script ends when all commands have succeeded, or when one has failed and has no restarts left. In the
  second case it stops the other commands, which would wait for the failed one, and exits with its exit code.
  """
  members = "".join(f"restarting {command} &\nmembers+=($!)\n" for command in commands)
  return _BEFORE + members + _AFTER


_BEFORE = """\
if ((BASH_VERSINFO[0] < 5)); then
  echo "error: bash 5 or later is needed." >&2
  exit 2
fi
members=()
result=0
# The first failure causes all others; and a process that is saving gets SIGTERM only once.
stop() {
  ((result == 0)) || return
  result=$1
  kill -TERM "${members[@]}" 2>/dev/null
}
trap 'stop 143' TERM INT
"""
_AFTER = """\
((result == 0)) || kill -TERM "${members[@]}" 2>/dev/null # Some had not started before.
for _ in "${members[@]}"; do
  wait -n || stop $?
done
wait
exit "$result"
"""
