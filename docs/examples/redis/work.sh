#!/bin/sh
# Sets one key after the other, and acknowledges each when Redis has said OK.
n=0
while [ $n -lt 200 ]; do
    n=$((n + 1))
    id="$PLUGPULL_LIFE.$n"
    echo "try $id"
    [ "$(redis-cli set "$id" "value $id")" = OK ] || exit 1
    echo "ack $id"
done
