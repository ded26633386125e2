#!/bin/sh
# Stands in for a supervisor that restarts its service always: tests only.
#
# usage: supervise.sh PIDFILE COMMAND...
#
# Starts the command, keeps its process id in PIDFILE, and starts it again whenever it ends; each
# start adds a line to PIDFILE.starts. A number in PIDFILE.names is kept there instead, as by one that
# is wrong about its service. On SIGTERM it stops the service and ends.
set -u
pidfile=$1
shift
# The shell's own word for the last child: a variable is set one command later, and a SIGTERM may come between.
trap 'kill -TERM "${!:-}" 2>/dev/null; wait "${!:-}"; rm -f "$pidfile"; exit 0' TERM
while :; do
    "$@" >/dev/null 2>&1 &
    # Renamed into place, so that nobody reads half a number.
    if [ -e "$pidfile.names" ]; then cat "$pidfile.names"; else echo "$!"; fi >"$pidfile.new"
    echo "$!" >>"$pidfile.starts"
    mv "$pidfile.new" "$pidfile"
    wait "$!"
done
