#!/bin/sh
# Stands in for systemctl, over supervise.sh: tests only. FAKE is its directory, with the files
#
#   pid.calls       what it was asked, a line each
#   pid.command     the service's command line, for `start`
#   pid             the main process, kept by supervise.sh
#   supervisor      the process id of supervise.sh
#   pid.gives-up    there when a killed service is not to be started again, as by a start limit
set -u
echo "$*" >>"$FAKE/pid.calls"
# A zombie is dead.
alive() { grep -q '^State:[[:space:]]*[A-Y]' "/proc/$(cat "$1" 2>/dev/null || echo none)/status" 2>/dev/null; }
case $1 in
show)
    if [ "$2" != fake.service ]; then
        echo LoadState=not-found
    elif alive "$FAKE/pid"; then
        echo "MainPID=$(cat "$FAKE/pid")"
        echo "NRestarts=$(($(wc -l <"$FAKE/pid.starts") - 1))"
        printf '%s\n' Result=success ActiveEnterTimestampMonotonic=1000000 ActiveState=active LoadState=loaded
    elif [ -e "$FAKE/pid.gives-up" ]; then
        printf '%s\n' MainPID=0 NRestarts=3 Result="$(cat "$FAKE/pid.gives-up")" ActiveState=failed LoadState=loaded
    else
        printf '%s\n' MainPID=0 NRestarts=0 Result=signal ActiveState=activating LoadState=loaded
    fi
    ;;
start)
    alive "$FAKE/supervisor" && exit 0
    # shellcheck disable=SC2046 # its words are words
    setsid "$(dirname "$0")/supervise.sh" "$FAKE/pid" $(cat "$FAKE/pid.command") >/dev/null 2>&1 &
    echo $! >"$FAKE/supervisor"
    ;;
stop)
    alive "$FAKE/supervisor" || exit 0
    kill -TERM "$(cat "$FAKE/supervisor")"
    while alive "$FAKE/supervisor"; do :; done
    ;;
reset-failed) ;;
*) exit 1 ;;
esac
