#!/bin/sh
# Counts the letters of a text: count.sh TEXT RESULT
set -eu
tr -cd '[:alpha:]' < "$1" | wc -c | tr -d ' ' > "$2"
echo "$(cat "$2") letters"
