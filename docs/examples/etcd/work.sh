#!/bin/sh
# Puts one key after the other, and acknowledges each when etcd has answered.
n=0
while [ $n -lt 20 ]; do
    n=$((n + 1))
    etcdctl put "k.$PLUGPULL_LIFE.$n" "value $n" >/dev/null || exit 1
    echo "ack k.$PLUGPULL_LIFE.$n"
done
