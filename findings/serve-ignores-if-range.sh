#!/usr/bin/env bash
# serve 14.2.5 (npm; serve-handler 6.1.6): `If-Range` is not looked at. Where the file has changed since, the answer to
# `Range` with the old ETag in `If-Range` is still 206 with a piece of the new file, and with the new file's ETag.
#
# Why it matters: a client that trusts If-Range (RFC 9110 section 13.1.5) puts the second half of one image behind the
# first half of another. The ETag of the 206 itself tells, and has to be compared each time.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
npm install --silent --no-fund --no-audit --prefix "$folder/npm" serve@14.2.5 >/dev/null
mkdir "$folder/root"
head -c 4000 /dev/urandom >"$folder/root/a.png"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
NO_UPDATE_CHECK=1 "$folder/npm/node_modules/.bin/serve" -L -l "tcp://127.0.0.1:$port" "$folder/root" >"$folder/log" 2>&1 &
server=$!

ask() {
    curl --silent --max-time 10 --retry 20 --retry-connrefused --retry-delay 1 --dump-header - --output "$folder/body" \
        "$@" "http://127.0.0.1:$port/a.png" | tr -d '\r' | grep -iE '^(http/|etag:)'
}

before=$(ask)
etag=$(sed -n 's/^[Ee][Tt]ag: //p' <<<"$before")
sleep 1
head -c 4000 /dev/urandom >"$folder/root/a.png"
after=$(ask --range 2000- --header "If-Range: $etag")
printf 'before:\n%s\nasked for the rest of that, after a change:\n%s\n' "$before" "$after"
grep -q '^HTTP/1.1 206' <<<"$after"
! grep -qF "$etag" <<<"$after"
cmp "$folder/body" <(tail -c 2000 "$folder/root/a.png")
