#!/bin/sh
# Writes one note after the other: a new file under another name, then a rename.
set -e # What fails is not acknowledged.
n=0
while [ $n -lt 50 ]; do
    n=$((n + 1))
    id="$PLUGPULL_LIFE.$n"
    echo "try $id"
    echo "note $id, and this is all of it" >tmp
    [ "$SYNC" = none ] || sync tmp
    mv tmp "note-$id"
    [ "$SYNC" != all ] || sync .
    echo "ack $id"
done
