#!/usr/bin/env bash
# The tests of the command line that need no FUSE, on machines that have no namespaces to give: in a
# container with the default profile of its runtime, and as an ordinary user without user namespaces.
# A test that needs what is missing there is ignored; the others must pass, and they are counted.
#
# usage: restricted.sh TEST_PROGRAM    as `cargo test -p plugpull --test cli --no-run` makes it
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
program=$(realpath "${1:?usage: restricted.sh TEST_PROGRAM}")
# What is promised of the machine is not promised here.
export PLUGPULL_REQUIRE=
# What these tests would repeat: services of their own, which no sandbox is around, the promises of
# targets and the templates of pipelines.
without=(--skip attach:: --skip catalog:: --skip templates:: --skip inspect:: --skip snapshots::)
least=40
log=$(mktemp)
# A directory that an ordinary user may write to, as anybody has who calls plugpull.
work=$(mktemp -d)
trap 'rm -rf "$log" "$work"' EXIT
chmod 777 "$work"
cd "$work"

run() { # name, command and its arguments before the test program
    echo "restricted: $1"
    # The run files of the one before belong to its user.
    rm -rf "$work/.plugpull"
    shift
    "$@" "$program" "${without[@]}" 2>&1 | tee "$log"
    passed=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$log")
    if [ "${passed:-0}" -lt "$least" ]; then
        echo "restricted: ${passed:-0} tests ran, and at least $least should have" >&2
        exit 1
    fi
}

filter=$root/ci/refuse-namespaces.py
run "in a container" "$filter" container
if [ "$(id -u)" -ne 0 ]; then
    run "as this user, without user namespaces" "$filter" user
elif command -v setpriv >/dev/null; then
    nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all)
    if "${nobody[@]}" test -x "$program" -a -r "$root/harness/cli/Cargo.toml"; then
        run "as an ordinary user, without user namespaces" "${nobody[@]}" \
            env -u TMPDIR HOME=/nonexistent "$filter" user
    else
        echo "CI: SKIPPED: the tests as an ordinary user, who may not read this checkout" >&2
    fi
else
    echo "CI: SKIPPED: the tests as an ordinary user, which need 'setpriv' (Debian package util-linux)" >&2
fi
