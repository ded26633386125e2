#!/bin/sh
# Explores the simulated target from N seeds, 10,000 when nothing is said; from seed A on with a
# second argument. What must hold of every exploration is checked for each (harness/engine/src/simulated).
# Where a seed fails, the line that repeats it is printed.
#
#     ci/simulate.sh [N [A]]
set -eu
cd "$(dirname "$0")/.."
from=${2:-0}
export PLUGPULL_SIMULATE="$from..$((from + ${1:-10000}))"
exec cargo test --release -p plugpull-engine --lib -- --exact simulated::properties::seeds --nocapture
