#!/bin/sh
# Are all acknowledged keys there?
there=$(etcdctl get --prefix k. --keys-only) || exit 2
while read -r id; do
    echo "$there" | grep -qxF "$id" || echo "lost $id"
done
