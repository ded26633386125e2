#!/usr/bin/env bash
# Runs the suites that filesystems are tested with on the crash filesystem, through
# `plugpull exec`: fsx, fio with verification, and stress-ng's file stressors.
#
# usage: ci/fs-suites.sh [--quick | --long] [--storage crashfs|tmpfs] [--only WORD]
#
#   --quick    about three minutes (the default)
#   --long     about an hour
#   --storage  what to test: crashfs (the default), or tmpfs, to know a suite's own failures
#   --only     only the lines whose name holds this word
#
# Prints a line for each suite (name, result, seconds), the first and last lines of what failed,
# and at last `N passed, N failed, N skipped`. Exit codes: 0 nothing failed, 1 something did, 2 wrong use,
# 3 a tool is missing and cannot be installed.
#
# PLUGPULL names the binary; without it the release build is made first.

set -euo pipefail

readonly fsx_version=0.3.2
mode=quick
storage=crashfs
only=

usage() {
    echo "usage: ci/fs-suites.sh [--quick | --long] [--storage crashfs|tmpfs] [--only WORD]" >&2
    exit 2
}

while (($#)); do
    case $1 in
        --quick | --long) mode=${1#--} ;;
        --storage | --only)
            (($# > 1)) || usage
            if [[ $1 == --storage ]]; then storage=$2; else only=$2; fi
            shift
            ;;
        *) usage ;;
    esac
    shift
done
[[ $storage == crashfs || $storage == tmpfs ]] || usage

if [[ $mode == quick ]]; then
    fsx_ops=20000 fsx_seeds=2 fio_size=24m fio_loops=1 stress_seconds=1 stress_workers=2
else
    fsx_ops=1000000 fsx_seeds=4 fio_size=256m fio_loops=4 stress_seconds=30 stress_workers=4
fi

root=$(cd "$(dirname "$0")/.." && pwd)
tools=${CARGO_TARGET_DIR:-$root/target}/tools
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# The tools.

missing=()
for tool in fio stress-ng; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
    if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
        if ! { apt-get update -qq && apt-get install -y -qq "${missing[@]}"; } >/dev/null; then
            echo "apt-get could not install ${missing[*]}" >&2
        fi
    fi
    for tool in "${missing[@]}"; do
        if ! command -v "$tool" >/dev/null; then
            echo "missing: ${missing[*]}; install them: apt-get install ${missing[*]}" >&2
            exit 3
        fi
    done
fi
fsx=$tools/bin/fsx
if [[ ! -x $fsx ]] && ! cargo install --quiet --locked --root "$tools" --version "$fsx_version" fsx; then
    echo "missing: fsx; cargo install fsx --version $fsx_version --root $tools" >&2
    exit 3
fi
if [[ -z ${PLUGPULL:-} ]]; then
    (cd "$root" && cargo build --quiet --release -p plugpull)
    PLUGPULL=${CARGO_TARGET_DIR:-$root/target}/release/plugpull
fi
if ! "$PLUGPULL" exec --storage "$storage" -- true; then
    echo "no suite can run: plugpull exec does not work here; see plugpull doctor" >&2
    exit 3
fi

# What happened.

passed=0 failed=0 skipped=0

tell() { # NAME RESULT SECONDS [WHY]
    printf '%-36s %-8s %5s s  %s\n' "$1" "$2" "$3" "${4:-}"
}

wanted() { # NAME
    [[ -z $only || $1 == *"$only"* ]]
}

skip() { # NAME WHY
    wanted "$1" || return 0
    skipped=$((skipped + 1))
    tell "$1" skipped 0 "$2"
}

# Runs a command on a fresh filesystem and leaves its code in `code`, its seconds in `took`.
run() {
    local began=$SECONDS
    code=0
    timeout --kill-after=10 3600 "$PLUGPULL" exec --storage "$storage" -- "$@" \
        >"$output" 2>&1 </dev/null || code=$?
    took=$((SECONDS - began))
}

pass() { # NAME
    passed=$((passed + 1))
    tell "$1" ok "$took"
}

fail() { # NAME WHY
    failed=$((failed + 1))
    tell "$1" FAILED "$took" "$2"
    { head -n 5 "$output" && tail -n +6 "$output" | tail -n 15; } | sed 's/^/    /'
}

suite() { # NAME COMMAND...
    local name=$1
    shift
    wanted "$name" || return 0
    run "$@"
    if ((code == 0)); then pass "$name"; else fail "$name" "exit code $code"; fi
}

# A suite that must fail, saying WORDS: a check that cannot say no proves nothing.
control() { # NAME WORDS COMMAND...
    local name=$1 words=$2
    shift 2
    wanted "$name" || return 0
    run "$@"
    if ((code == 0)); then
        fail "$name" "the seeded damage was not found"
    elif grep -q "$words" "$output"; then
        pass "$name"
    else
        fail "$name" "it failed, but not by finding the damage"
    fi
}

# fsx: random operations on one file, every byte checked on every read.

fsx_all='close_open = 1
invalidate = 1
mapread = 10
mapwrite = 10
read = 10
write = 10
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 3
punch_hole = 3
sendfile = 3
posix_fadvise = 1
copy_file_range = 3'

fsx_with() { # SEED FSX-OPTIONS TOP-LEVEL-SETTINGS WEIGHTS
    fsx_command=(sh -c "printf '%s\n' \"\$1\" > fsx.toml && exec \"\$0\" -f fsx.toml -S $1 $2 file"
        "$fsx" "$3"$'\n[weights]\n'"$4")
}

# No operation may have length 0: posix_fallocate refuses that, and fsx takes it for the end. With
# whole pages fsx asks for such lengths itself, so it does without.
for ((seed = 1; seed <= fsx_seeds; seed++)); do
    fsx_with "$seed" "-N $fsx_ops" $'flen = 1048576\n[opsize]\nmin = 1\nmax = 65536' "$fsx_all"
    suite "fsx all operations, seed $seed" "${fsx_command[@]}"
    fsx_with "$seed" "-N $((fsx_ops / 5))" $'flen = 4194304\n[opsize]\nmin = 1\nmax = 700000' "$fsx_all"
    suite "fsx large operations, seed $seed" "${fsx_command[@]}"
    fsx_with "$seed" "-N $fsx_ops" $'flen = 65536\nnomsyncafterwrite = true\n[opsize]\nmin = 1\nmax = 5000' \
        "$fsx_all"
    suite "fsx maps without msync, seed $seed" "${fsx_command[@]}"
    fsx_with "$seed" "-N $fsx_ops" $'flen = 1048576\n[opsize]\nmin = 4096\nmax = 65536\nalign = 4096' \
        "${fsx_all/posix_fallocate = 3/posix_fallocate = 0}"
    suite "fsx whole pages, seed $seed" "${fsx_command[@]}"
done
# The write of step 503 is left out.
fsx_with 1 "-N 5000 --inject 503" $'flen = 65536\n[opsize]\nmin = 1\nmax = 5000' "$fsx_all"
control "control: fsx finds a lost write" "miscompare" "${fsx_command[@]}"

# fio: writes with checksums, then reads every block back.

fio_suite() { # NAME OPTIONS...
    local name=$1
    shift
    suite "fio $name" fio --name=suite --size="$fio_size" --loops="$fio_loops" \
        --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=7 --output-format=terse "$@"
}

fio_suite "sequential, buffered" --ioengine=psync --rw=write --bs=64k
fio_suite "random, buffered" --ioengine=psync --rw=randwrite --bs=4k
fio_suite "random, odd sizes" --ioengine=psync --rw=randwrite --bsrange=512-96k --bs_unaligned
fio_suite "random mix, fsync" --ioengine=psync --rw=randrw --bs=8k --fsync=8
fio_suite "random mix, fdatasync" --ioengine=pvsync2 --rw=randrw --bs=4k --fdatasync=4
fio_suite "sequential, O_DIRECT" --ioengine=psync --rw=write --bs=1m --direct=1
fio_suite "random, O_DIRECT" --ioengine=psync --rw=randwrite --bs=4k --direct=1
fio_suite "random, O_DIRECT, O_SYNC" --ioengine=psync --rw=randwrite --bs=16k --direct=1 --sync=1
fio_suite "random, libaio, O_DIRECT" --ioengine=libaio --iodepth=16 --rw=randwrite --bs=4k --direct=1
fio_suite "random, io_uring, O_DIRECT" --ioengine=io_uring --iodepth=16 --rw=randwrite --bs=4k --direct=1
fio_suite "random, io_uring, buffered" --ioengine=io_uring --iodepth=16 --rw=randwrite --bs=4k
fio_suite "random, posixaio" --ioengine=posixaio --iodepth=8 --rw=randwrite --bs=4k
fio_suite "sequential, mmap" --ioengine=mmap --rw=write --bs=64k
fio_suite "random, mmap" --ioengine=mmap --rw=randwrite --bs=4k
fio_suite "random, mmap, fsync" --ioengine=mmap --rw=randwrite --bs=4k --fsync=16
fio_suite "four jobs, one file each" --ioengine=psync --rw=randrw --bs=4k --numjobs=4
# The damage is to a block of the file that fio itself wrote a moment ago.
# shellcheck disable=SC2016  # the inner shell expands
control "control: fio finds a flipped byte" "verify" sh -c '
    run="fio --name=suite --filename=data --size=4m --verify=crc32c --verify_fatal=1 --randseed=7
        --ioengine=psync --rw=write --bs=4k"
    $run --do_verify=0 || exit 0
    printf X | dd of=data bs=1 seek=1000000 conv=notrunc || exit 0
    $run --verify_only'

# stress-ng: every stressor that works on files in its temporary directory.

stressors=(
    access aio aiol chdir chmod chown copy-file dentry dir dirdeep dirmany fallocate fcntl fiemap
    file-ioctl filename flock fpunch fsize fstat getdent handle hdd inotify io io-uring iomix lease
    link locka lockf lockofd metamix mmap mknod msync msyncmany open readahead rename revio seek
    sendfile splice symlink sync-file touch unlink utime xattr
)
known=$(stress-ng --help 2>&1)
for stressor in "${stressors[@]}"; do
    name="stress-ng $stressor"
    wanted "$name" || continue
    if ! grep -qE -- "--$stressor N" <<<"$known"; then
        skip "$name" "not in this version of stress-ng"
        continue
    fi
    run stress-ng --temp-path . --verify --timeout "$stress_seconds" --oomable \
        --mmap-file --mmap-bytes 16m --"$stressor" "$stress_workers"
    # stress-ng(1): 2 failed, 3 no resources, 4 not implemented here.
    case $code in
        0)
            if grep -q 'skipped: [1-9]\|skipping stressor' "$output"; then
                skip "$name" "$(grep -m1 -o 'skipp[a-z]*.*' "$output")"
            else
                pass "$name"
            fi
            ;;
        3 | 4) skip "$name" "stress-ng could not run it (exit code $code)" ;;
        *) fail "$name" "exit code $code" ;;
    esac
done

echo "$passed passed, $failed failed, $skipped skipped"
if ((passed + failed == 0)); then
    echo "nothing was run" >&2
    exit 2
fi
((failed == 0))
