#!/bin/sh
# Commits again and again, and acknowledges each commit by its hash.
. "$PLUGPULL_FOLDER/settings.sh"
[ -d .git ] || git init -q -b main . || exit 1
n=0
while :; do
    n=$((n + 1))
    echo "$PLUGPULL_LIFE.$n" >file
    git add file || exit 1
    git commit -q -m "commit $PLUGPULL_LIFE.$n" || exit 1
    hash=$(git rev-parse HEAD) || exit 1
    echo "ack $hash"
done
