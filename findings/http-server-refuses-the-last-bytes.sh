#!/usr/bin/env bash
# http-server 14.1.1 (npm): a suffix range (`bytes=-500`, the last 500 bytes, RFC 9110 section 14.1.2) of a longer file
# is answered with 416, without a body and without the `Content-Range: bytes */LENGTH` that would tell the length.
# `bytes=3500-`, the same bytes, is answered with 206.
#
# Why it matters: reading the end of a file to see its end mark, or the index of an archive, fails on a server that
# says `Accept-Ranges: bytes`; and a 416 from it tells nothing about the length.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
npm install --silent --no-fund --no-audit --prefix "$folder/npm" http-server@14.1.1 >/dev/null
mkdir "$folder/root"
head -c 4000 /dev/urandom >"$folder/root/a.png"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/npm/node_modules/.bin/http-server" "$folder/root" -a 127.0.0.1 -p "$port" -s >"$folder/log" 2>&1 &
server=$!

ask() {
    curl --silent --max-time 10 --retry 20 --retry-connrefused --retry-delay 1 --range "$1" --dump-header - \
        --output /dev/null "http://127.0.0.1:$port/a.png" | tr -d '\r' | grep -iE '^(http/|content-range:|accept-ranges:)'
}

suffix=$(ask -500)
start=$(ask 3500-)
printf 'the last 500:\n%s\nfrom 3500 on:\n%s\n' "$suffix" "$start"
grep -q '^HTTP/1.1 416' <<<"$suffix"
! grep -qi '^Content-Range:' <<<"$suffix"
grep -q '^HTTP/1.1 206' <<<"$start"
