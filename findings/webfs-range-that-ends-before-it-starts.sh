#!/usr/bin/env bash
# webfs 1.21 (Debian 12, 1.21+ds1-12+b1): a range that begins exactly at the file's length is answered with 206, no
# body, and a Content-Range whose end is one less than its start: `bytes 4000-3999/4000`. RFC 9110 section 14.4 calls
# such a header invalid and wants 416. One byte further on, the answer is 400 instead.
#
# Why it matters: a client asks for this range when it has every byte and was killed before it could say so. It must
# take neither the 206 as more data nor the 400 as the end of the image.
set -euo pipefail

version=1.21+ds1-12+b1
dpkg-query -W webfs >/dev/null 2>&1 || apt-get install --yes --no-install-recommends "webfs=$version" >/dev/null
[[ $(dpkg-query -W -f '${Version}' webfs) == "$version" ]] || { echo "wanted webfs $version"; exit 1; }

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/root"
head -c 4000 /dev/zero >"$folder/root/a.png"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
/usr/bin/webfsd -F -i 127.0.0.1 -p "$port" -r "$folder/root" >"$folder/log" 2>&1 &
server=$!

ask() {
    curl --silent --max-time 5 --retry 20 --retry-connrefused --retry-delay 1 --range "$1" --dump-header - \
        --output /dev/null "http://127.0.0.1:$port/a.png" | tr -d '\r' | grep -iE '^(http/|content-range:|content-length:)'
}

at_end=$(ask 4000-)
behind=$(ask 4001-)
printf 'from the end:\n%s\nbehind the end:\n%s\n' "$at_end" "$behind"
grep -q '^HTTP/1.1 206' <<<"$at_end"
grep -qi '^Content-Range: bytes 4000-3999/4000$' <<<"$at_end"
grep -q '^HTTP/1.1 400' <<<"$behind"
