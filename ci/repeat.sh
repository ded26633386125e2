#!/bin/sh
# Runs the tests again and again, every second time beside two busy loops, and writes a log.
#
#     ci/repeat.sh COUNT [LOG] [-- ARGUMENT...]
#
# The log (target/repeat.log when none is given) has a line for each run: its number, whether it ran
# idle or busy, how long it took, how it ended; and below it the tests that failed. Runs that the log
# has already are not made again, so it goes on in parts: `ci/repeat.sh 4`, later `ci/repeat.sh 10`.
# ARGUMENT... are given to `cargo test` in place of `--workspace`. The exit code is 1 when a run of
# the log failed.
set -eu
usage() { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 1 ] || usage
case $1 in '' | *[!0-9]*) usage ;; esac
count=$1
shift
here=$(cd "$(dirname "$0")/.." && pwd)
log=$here/target/repeat.log
if [ $# -ge 1 ] && [ "$1" != -- ]; then
    log=$1
    shift
fi
[ $# -ge 1 ] && { [ "$1" = -- ] || usage; shift; }
[ $# -ge 1 ] || set -- --workspace
cd "$here"
mkdir -p "$(dirname "$log")"
touch "$log"

one='' two=''
rest() {
    for loop in $one $two; do kill "$loop" 2>/dev/null || true; done
    one='' two=''
}
trap rest EXIT
trap 'exit 130' INT TERM

# The runs are of one build: compiling beside them would make the first one slower.
cargo test --quiet --no-run "$@"

run=$(grep -c '^run ' "$log" || true)
while [ "$run" -lt "$count" ]; do
    run=$((run + 1))
    kind=idle
    if [ $((run % 2)) -eq 0 ]; then
        kind=busy
        sh -c 'while :; do :; done' & one=$!
        sh -c 'while :; do :; done' & two=$!
    fi
    output=$(mktemp)
    from=$(date +%s)
    ended=passed
    cargo test --no-fail-fast "$@" >"$output" 2>&1 || ended=FAILED
    took=$(($(date +%s) - from))
    rest
    passed=$(sed -n 's/^test result: .* \([0-9]*\) passed;.*/\1/p' "$output" | awk '{ n += $1 } END { print n + 0 }')
    echo "run $run $kind: $ended, $passed tests passed in $took s, $(git rev-parse --short HEAD)" | tee -a "$log"
    grep -E '^test .*FAILED$|^error: test failed|panicked at' "$output" | sed 's/^/    /' | tee -a "$log" || true
    [ $ended = passed ] || cp "$output" "$log.run-$run"
    rm -f "$output"
done
! grep -q '^run .*: FAILED' "$log"
