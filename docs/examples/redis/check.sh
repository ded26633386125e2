#!/bin/sh
# Has Redis every acknowledged key, with its value?
while read -r id; do
    value=$(redis-cli get "$id" </dev/null) || exit 2
    [ "$value" = "value $id" ] || echo "lost $id"
done
