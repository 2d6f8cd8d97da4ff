"""The few lines of bash that run a command, pass SIGTERM on to it and restart it."""

import shlex
from collections.abc import Sequence

# Runs its arguments. Whoever is told to stop saves and exits with 0, which must not pass for the end of the
# training: stopped, it is 143, as of a process that SIGTERM killed. (The exit code itself is not to be had
# then: a signal ends bash's `wait`, and a second one may be told nothing.)
_ATTEND = (
  "stopped=; attend() { "
  "trap 'stopped=1; kill -TERM \"$child\" 2>/dev/null' TERM INT; "
  '"$@" & child=$!; [ -z "$stopped" ] || kill -TERM "$child"; '
  'wait "$child"; local code=$?; [ -n "$stopped" ] || return "$code"; '
  'while kill -0 "$child" 2>/dev/null; do wait "$child"; done; return 143; }'
)
_RESTARTING = """\
# Runs its arguments, and again when they fail, up to RESTARTS times. An exit code of 2 is a user's error,
# which does not mend itself.
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
_PAUSE = 10  # Seconds before a restart, in which the other hosts find out that this one is gone.


def attended(command: Sequence[str]) -> str:
  """One line of bash that runs `command` and says 143 when SIGTERM stopped it."""
  return f"{_ATTEND}; attend {shlex.join(command)}"


def preamble(restarts: int) -> str:
  """The beginning of a script that calls `restarting COMMAND`."""
  return f"#!/bin/bash\nRESTARTS={restarts}\nPAUSE={_PAUSE}\n{_ATTEND}\n{_RESTARTING}"


def together(commands: Sequence[str]) -> str:
  """The rest of a script that runs `commands`, lines of bash, side by side, each restarted by itself.

  It ends when all have succeeded, or one has failed for good: then the others are stopped, which would only
  wait for it, and its exit code is that one's.
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
# The first failure is the reason of all others; and who saves is told once.
stop() {
  ((result == 0)) || return
  result=$1
  kill -TERM "${members[@]}" 2>/dev/null
}
trap 'stop 143' TERM INT
"""
_AFTER = """\
((result == 0)) || kill -TERM "${members[@]}" 2>/dev/null # Some were not there yet.
for _ in "${members[@]}"; do
  wait -n || stop $?
done
wait
exit "$result"
"""
