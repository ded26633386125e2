#!/bin/sh
# Commits again and again, and acknowledges each commit by its hash.
. "$PLUGPULL_FOLDER/settings.sh"
if [ ! -d .git ]; then
    git init -q -b main . || exit 1
    # The repository is older than any crash that counts: every file and directory of it is synced.
    find . -exec sync {} + || exit 1
fi
n=0
while :; do
    n=$((n + 1))
    echo "$PLUGPULL_LIFE.$n" >file
    git add file || exit 1
    git commit -q -m "commit $PLUGPULL_LIFE.$n" || exit 1
    hash=$(git rev-parse HEAD) || exit 1
    echo "ack $hash"
done
