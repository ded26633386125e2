#!/usr/bin/env bash
# Runs the worked examples as docs/examples/README.md has them, and compares their exit codes. An
# example whose programs are not installed is left out, in a line that begins with "CI: SKIPPED".
#
# usage: examples.sh PLUGPULL [EXAMPLE...]    all of them where none is named
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:?usage: examples.sh PLUGPULL [EXAMPLE...]}")
shift
# What a hanging example may take beyond its budget, in seconds.
patience=120
# The table is about this build, and nothing of the user's.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=${program%/*}:$PATH

# Where a package of the distribution is, if another python3 stands before its own on PATH.
distribution=/usr/bin:$PATH
installed() { # program, or python3/MODULE
    case $1 in
    */*) "${1%/*}" -c "import ${1#*/}" 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

failed=0 ran=0
while IFS='|' read -r _ name requires command code _; do
    name=${name// /} code=${code// /}
    # What stands between the backquotes.
    command=${command#*\`} command=${command%\`*}
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    missing="" path=$PATH
    for one in $requires; do
        if ! installed "$one"; then
            if PATH=$distribution installed "$one"; then
                path=$distribution
            else
                missing=$one
            fi
        fi
    done
    if [ -n "$missing" ]; then
        echo "CI: SKIPPED: the example $name, which needs '$missing': $command"
        continue
    fi
    # The budget in seconds.
    budget=0
    if [[ $command =~ --budget\ ([0-9]+)([sm]) ]]; then
        budget=${BASH_REMATCH[1]}
        [ "${BASH_REMATCH[2]}" = m ] && budget=$((budget * 60))
    fi
    case $command in plugpull\ explore* | plugpull\ run*) options=" -q --no-run-file" ;; *) options= ;; esac
    began=$SECONDS status=0
    PATH=$path timeout $((budget + patience)) bash -c "$command$options" </dev/null >"$work/output" 2>&1 || status=$?
    echo "examples: $name: exit code $status after $((SECONDS - began)) s: $command"
    ran=$((ran + 1))
    if [ "$status" != "$code" ]; then
        echo "examples: it should have been $code:" >&2
        cat "$work/output" >&2
        failed=$((failed + 1))
    fi
done < <(grep -E '^\| [a-z-]+ \| .*`' docs/examples/README.md)
if [ "$ran" -eq 0 ]; then
    echo "examples: none was run" >&2
    exit 1
fi
echo "examples: $ran run, $failed with another exit code"
[ "$failed" -eq 0 ]
