#!/bin/sh
# Are all acknowledged commits there? The hashes come on standard input, one a line.
. "$PLUGPULL_FOLDER/settings.sh"
[ -s "$PLUGPULL_ACKED" ] || exit 0 # nothing was acknowledged: there need not be a repository
reached=$(git rev-list HEAD 2>&1) || {
    echo "git rev-list HEAD: $reached" >&2
    exit 2
}
fsck=$(git fsck --full --no-dangling 2>&1) || echo "corrupt git fsck: $fsck" | tr '\n' ' '
echo
while read -r hash; do
    case $reached in
    *"$hash"*) ;;
    *) echo "lost $hash HEAD does not reach it" ;;
    esac
done
