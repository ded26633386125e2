#!/bin/sh
# Compares how fast two plugpull binaries explore a stored trace, in alternating pairs, so that what
# else the machine does meets both alike. Prints the seconds of each pair and the median of the ratios.
#
#     ci/compare-speed.sh ONE OTHER [PAIRS]      7 pairs when no number is given
#
# The profiles side by side:
#
#     cargo build --release && cargo build --profile dist
#     ci/compare-speed.sh target/release/plugpull target/dist/plugpull
set -eu
[ $# -ge 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
one=$1 other=$2 pairs=${3:-7}
here=$(cd "$(dirname "$0")" && pwd)

explore() { # binary
    from=$(date +%s%N)
    for trace in sqlite-wal sqlite-delete reference; do
        "$1" explore --no-config --trace "$here/golden/$trace.trace" --states 300 --budget 10m -q \
            >/dev/null || case $? in
        # Findings, and a model that was not reached in so few states.
        1 | 3) ;;
        *) exit 1 ;;
        esac
    done
    echo $((($(date +%s%N) - from) / 1000000))
}

explore "$one" >/dev/null
explore "$other" >/dev/null
pair=0
while [ "$pair" -lt "$pairs" ]; do
    pair=$((pair + 1))
    a=$(explore "$one")
    b=$(explore "$other")
    echo "$a $b"
done | awk '
    { printf "pair %d: %.2f s, %.2f s\n", NR, $1 / 1000, $2 / 1000; ratio[NR] = $2 / $1 }
    END {
        for (i = 2; i <= NR; i++)
            for (j = i; j > 1 && ratio[j] < ratio[j - 1]; j--) {
                t = ratio[j]; ratio[j] = ratio[j - 1]; ratio[j - 1] = t
            }
        middle = NR % 2 ? ratio[(NR + 1) / 2] : (ratio[NR / 2] + ratio[NR / 2 + 1]) / 2
        printf "the other takes %.3f of the time of the one (median of %d pairs)\n", middle, NR
    }'
