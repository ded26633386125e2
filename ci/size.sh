#!/bin/sh
# Prints for each crate of a clone: Rust files and lines under src without tests, type names that are
# declared twice within the crate, pairs of files that use each other (a module and its parent do not
# count), and files under 60 lines.
#
#     ci/size.sh [DIRECTORY]      this clone when none is given
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
there=$(cd "${1:-$here}" && pwd)
cd "$here"
exec cargo run --quiet --package plugpull-tidy --bin plugpull-size -- "$there"
