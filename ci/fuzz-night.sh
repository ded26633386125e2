#!/usr/bin/env bash
# Fuzzes each reader of what others give plugpull for N minutes (20), as many at a time as there are CPUs:
#
#   ci/fuzz-night.sh [MINUTES] [SUBJECT]...
#
# The seed is FUZZ_SEED, or the day's number. Failing inputs are kept in FUZZ_KEEP (fuzz-findings).
# Ends with 1 where a reader panicked, took more than 10 s of the processor for one input, or more than 2 GiB.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-20}
shift || true
[[ $minutes =~ ^[0-9]+$ ]] || { echo "fuzz-night.sh: '$minutes' is no number of minutes" >&2; exit 2; }
cargo build --quiet --profile fuzz -p plugpull-fuzz
exec "${CARGO_TARGET_DIR:-target}/fuzz/plugpull-fuzz" --seconds "$((minutes * 60))" \
    --seed "${FUZZ_SEED:-$(($(date +%s) / 86400))}" --keep "${FUZZ_KEEP:-fuzz-findings}" "$@"
