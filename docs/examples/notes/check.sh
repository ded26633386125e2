#!/bin/sh
# Is every acknowledged note there, and whole?
while read -r id; do
    if [ ! -e "note-$id" ]; then
        echo "lost $id there is no file note-$id"
    elif [ "$(cat "note-$id")" != "note $id, and this is all of it" ]; then
        echo "torn $id note-$id has $(stat -c %s "note-$id") bytes"
    fi
done
