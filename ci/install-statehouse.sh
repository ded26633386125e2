#!/usr/bin/env bash
# Installs statehoused, the daemon behind the `statehouse` target, from the registries.
#
# usage: ci/install-statehouse.sh [--vendored] DIRECTORY
#
#   DIRECTORY   the program becomes DIRECTORY/bin/statehoused; nothing is done when it is there
#   --vendored  with the RocksDB that it was released with (12 to 15 minutes on 2 cores), and not
#               with Debian's (3 to 4 minutes). Debian's 7.8.3 has assertions switched on, so use
#               this one before you judge what it does on a full disk.
#
# Needs apt-get (as root, or with sudo) and cargo. The licence of Statehouse lets it be used and not
# passed on, so plugpull brings no copy of it.
#
# Exit codes: 0 it is installed, 1 it is not, 2 wrong use.

set -euo pipefail

readonly version=0.1.0
vendored=
directory=

usage() {
    echo "usage: ci/install-statehouse.sh [--vendored] DIRECTORY" >&2
    exit 2
}

for arg in "$@"; do
    case $arg in
        --vendored) vendored=yes ;;
        -*) usage ;;
        *) [[ -z $directory ]] || usage; directory=$arg ;;
    esac
done
[[ -n $directory ]] || usage

if [[ -x $directory/bin/statehoused ]]; then
    echo "$directory/bin/statehoused is there already"
    exit 0
fi

packages=(protobuf-compiler libprotobuf-dev clang libclang-dev)
if [[ -z $vendored ]]; then
    packages+=(librocksdb-dev libsnappy-dev)
    libraries=/usr/lib/$(uname -m)-linux-gnu
    export ROCKSDB_LIB_DIR=$libraries SNAPPY_LIB_DIR=$libraries
    # The bindings are for RocksDB 8.10; of what they name, one function is not in 7.8.3. Nobody
    # calls it.
    export RUSTFLAGS="-C link-arg=-Wl,--defsym=rocksdb_write_buffer_manager_destroy=0"
fi
sudo=
[[ $(id -u) == 0 ]] || sudo=sudo
$sudo apt-get update -q || true
$sudo apt-get install -qy --no-install-recommends "${packages[@]}" || exit 1
cargo install statehouse-daemon --version "$version" --locked --root "$directory" || exit 1
echo "$directory/bin/statehoused is installed"
