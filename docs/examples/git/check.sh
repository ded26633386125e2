#!/bin/sh
# Are all acknowledged commits there? Their hashes come on standard input, one a line.
. "$PLUGPULL_FOLDER/settings.sh"
[ -s "$PLUGPULL_ACKED" ] || exit 0 # nothing was acknowledged: there need not be a repository
if [ -d .git ]; then
    refs=$(git for-each-ref 2>&1) || { echo "git for-each-ref: $refs" >&2; exit 2; }
    case $refs in
    "") reached= ;; # a repository without a commit
    *) reached=$(git rev-list HEAD 2>&1) || { echo "git rev-list HEAD: $reached" >&2; exit 2; } ;;
    esac
    fsck=$(git fsck --full --no-dangling 2>&1) || echo "corrupt git fsck:" $fsck
fi
while read -r hash; do
    case $reached in
    *"$hash"*) ;;
    *) echo "lost $hash HEAD does not reach it" ;;
    esac
done
