#!/bin/sh
# NAME COMMAND…: runs it between two lines, of which the second says how long it took.
set -eu
name=$1
shift
began=$(date +%s)
echo "== $name"
"$@"
echo "== $name: $(($(date +%s) - began)) s"
