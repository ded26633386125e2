#!/usr/bin/env bash
# Crashes a service in staging, waits for it to come back, and says whether it kept its promises.
# A thin script over `plugpull attach`, for people and for schedules. docs/attach.md says more.

set -euo pipefail

usage() {
    cat <<'END'
usage: ci/test-recovery.sh --mode MODE --i-own-this-target NAME [OPTION]... [-- ATTACH-OPTION]...

What is done (any number of modes, separated by commas; the default is crash):
  --mode crash         SIGKILL in the midst of writes
  --mode restart       SIGTERM in the midst of writes
  --mode disk-full     the data directory's filesystem is full for a while; wants --fill
  --mode corruption    a bit of a stored file is flipped, in a copy of the data directory that a second
                       service is started on; wants --start-cmd
  --mode action        an action of the driver is done, then SIGKILL; wants --driver and --action
  --mode reorg         the same as --mode action --action reorg
  --mode all           each of these that was given what it wants

Which service (NAME is the unit's name or the data directory's own name, as a safeguard):
  --i-own-this-target NAME
  --data-dir DIR       its data directory on this machine
  --unit NAME          it is supervised by systemd
  --pid-file FILE      the file that holds its process id
  --service NAME       its name, where it is no unit and has no data directory on this machine
  --marker-cmd CMD     looks for plugpull.protected there: exit code 0 protected, 1 not
  --pid-cmd CMD        prints its process id, for example over ssh
  --identity-cmd CMD   prints what changes with each of its starts, where there is no process id
  --start-cmd CMD      starts it; PLUGPULL_DATA_DIR holds the data directory or its copy, and
                       PLUGPULL_PORT the port to serve the copy on
  --stop-cmd CMD       stops it
  --kill-cmd CMD       kills it at once

How it is written to and read:
  --connect HOST:PORT  the protocol of the reference store
  --driver CMD         a driver (docs/driver-protocol.md)
  --target NAME        the target whose promises it is held to (plugpull targets)

What is asked for:
  --rounds N           how often each mode is tried (default 3)
  --rate N             transactions a second (default 100)
  --recovery-bound T   recovery may take so long, for example 30s
  --action NAME        which action of the driver is done
  --amount N           the number that it takes
  --reorg-depth N      the same as --action reorg --amount N
  --corrupt-snapshot   damage only files with `snap` in their name; alone it means --mode corruption
  --in-place           damage the data directory itself, and put it back from a copy
  --fill MOUNT         the mount point of the data directory's filesystem, which may be filled
  --out DIR            report.json, report.xml (JUnit), report.md and report.html are written there
  --dry-run            print every action and do none
  --restore            put back what a call that was killed left, and end
  --help               this text

Options behind -- go to `plugpull attach` as they are; `plugpull attach --help` lists them all.

PLUGPULL names the binary; without it the one on PATH is taken, or the repository's own build.

Exit codes: 0 every promise kept, 1 a promise broken, 2 wrong use or refused, 3 not measured, or
something failed.
END
}

fail() {
    echo "test-recovery.sh: $1; --help says how it is used" >&2
    exit 2
}

mode=
snapshot=
out=
args=()
while (($#)); do
    case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --mode | --out)
            (($# > 1)) || fail "$1 wants a value"
            if [[ $1 == --mode ]]; then mode=$2; else out=$2; fi
            shift
            ;;
        --i-own-this-target | --data-dir | --unit | --pid-file | --service | --marker-cmd | --pid-cmd | \
            --identity-cmd | --start-cmd | --stop-cmd | --kill-cmd | --connect | --driver | --target | --rounds | --rate | \
            --recovery-bound | --action | --amount | --reorg-depth | --fill)
            (($# > 1)) || fail "$1 wants a value"
            args+=("$1=$2")
            shift
            ;;
        --corrupt-snapshot)
            snapshot=yes
            args+=("$1")
            ;;
        --in-place | --dry-run | --restore) args+=("$1") ;;
        --)
            shift
            args+=("$@")
            break
            ;;
        *) fail "there is no option $1" ;;
    esac
    shift
done

# `--corrupt-snapshot` names what to damage, so it says by itself what to do.
if [[ -z $mode ]]; then
    if [[ -n $snapshot ]]; then mode=corruption; else mode=crash; fi
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -n ${PLUGPULL:-} ]]; then
    plugpull=$PLUGPULL
elif command -v plugpull >/dev/null; then
    plugpull=plugpull
elif [[ -x $root/target/release/plugpull ]]; then
    plugpull=$root/target/release/plugpull
else
    echo "test-recovery.sh: there is no plugpull; build it by cargo build --release, or name it in" \
        "PLUGPULL" >&2
    exit 3
fi

if [[ -n $out ]]; then
    mkdir -p "$out" || exit 2
    args+=(--json="$out/report.json" --junit="$out/report.xml" --markdown="$out/report.md"
        --html="$out/report.html")
fi

# Replaced by it, so that a signal meets plugpull itself, which puts everything back.
exec "$plugpull" attach --mode="$mode" "${args[@]}"
