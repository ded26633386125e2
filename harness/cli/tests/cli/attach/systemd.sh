#!/bin/sh
# A systemd of its own, in namespaces of its own: systemd.sh DIRECTORY UNIT-FILE...
# It sees no unit but those named, has a cgroup of its own, and ends with this process. Its number,
# as seen from outside, is written to DIRECTORY/pid1.
set -eu
if [ "${1-}" = --inside ]; then
    units=$2
    mount --make-rprivate /
    mount -t tmpfs tmpfs /run
    mkdir -p /run/systemd/system /run/lock
    cp "$units"/* /run/systemd/system/
    # Nothing of the machine's own is to be started.
    for directory in /etc/systemd/system /usr/lib/systemd/system /usr/lib/systemd/system-generators \
        /lib/systemd/system /lib/systemd/system-generators; do
        if [ -d "$directory" ]; then mount -t tmpfs tmpfs "$directory"; fi
    done
    if [ -d /sys/fs/cgroup/systemd ]; then
        mount -t tmpfs tmpfs /sys/fs/cgroup
        mkdir /sys/fs/cgroup/systemd
        mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    else
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
    fi
    exec env -i container=plugpull PATH="$PATH" "$(command -v systemd || echo /lib/systemd/systemd)" \
        --system --unit=default.target --show-status=no --log-target=console
fi

directory=$1
shift
top=/sys/fs/cgroup
if [ -d "$top/systemd" ]; then top=$top/systemd; fi
own=$top/plugpull-test-$$
mkdir "$directory/units" "$own"
cp "$@" "$directory/units/"
away() {
    # What was in it is dead, but may not be gone yet.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || true
        if [ ! -d "$own" ]; then break; fi
        sleep 0.2
    done
}
trap away EXIT
# The child is in the cgroup before it makes it the root of what it sees.
sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$own" \
    unshare --pid --mount --mount-proc --fork --kill-child --uts --ipc --cgroup \
    "$0" --inside "$directory/units" >"$directory/systemd.log" 2>&1 &
unshared=$!
trap 'trap "" TERM INT; kill -9 $unshared 2>/dev/null || true
    wait $unshared 2>/dev/null || true; away' EXIT
trap 'exit 0' TERM INT
for _ in $(seq 100); do
    pid1=$(cat "/proc/$unshared/task/$unshared/children" 2>/dev/null || true)
    if [ -n "$pid1" ]; then break; fi
    sleep 0.05
done
echo $pid1 >"$directory/pid1.new"
mv "$directory/pid1.new" "$directory/pid1"
wait $unshared || true
