#!/usr/bin/env bash
# serve 14.2.5 (npm; serve-handler 6.1.6): a range behind the end of a file is answered with 416 and the right
# `Content-Range: bytes */LENGTH`, and the body of that answer is the complete file, with the file's own Content-Type,
# ETag and Content-Length.
#
# Why it matters: a client that reads the body of an error, to quote it or to keep the connection, downloads the image
# to throw it away; one that skips the body has to give the connection up.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
npm install --silent --no-fund --no-audit --prefix "$folder/npm" serve@14.2.5 >/dev/null
mkdir "$folder/root"
head -c 300000 /dev/urandom >"$folder/root/a.png"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
NO_UPDATE_CHECK=1 "$folder/npm/node_modules/.bin/serve" -L -l "tcp://127.0.0.1:$port" "$folder/root" >"$folder/log" 2>&1 &
server=$!

curl --silent --max-time 10 --retry 20 --retry-connrefused --retry-delay 1 --range 300000- --dump-header "$folder/head" \
    --output "$folder/body" "http://127.0.0.1:$port/a.png"
tr -d '\r' <"$folder/head" | grep -iE '^(http/|content-range:|content-length:|content-type:)'
echo "body: $(stat -c %s "$folder/body") bytes"
grep -q '^HTTP/1.1 416' "$folder/head"
cmp "$folder/body" "$folder/root/a.png"
