#!/usr/bin/env bash
# lighttpd 1.4.69 (Debian 12, 1.4.69-1): a static file whose extension has no entry in `mimetype.assign` is served
# without ETag and without Last-Modified. The same bytes under a name with a type have both. Ranges are answered for
# both, and both say `Accept-Ranges: bytes`.
#
# Why it matters: a configuration that lists a handful of types, as people write it by hand, lacks `.jxl`, `.avif` and
# `.jfif`. A download of such a file that was cut can be continued, but nothing says whether the second half belongs to
# the first. A client that wants proof begins again.
set -euo pipefail

version=1.4.69-1
dpkg-query -W lighttpd >/dev/null 2>&1 || apt-get install --yes --no-install-recommends "lighttpd=$version" >/dev/null
[[ $(dpkg-query -W -f '${Version}' lighttpd) == "$version" ]] || { echo "wanted lighttpd $version"; exit 1; }

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/root"
head -c 4000 /dev/zero >"$folder/root/typed.png"
cp "$folder/root/typed.png" "$folder/root/untyped.jxl"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$folder/lighttpd.conf" <<CONF
server.document-root = "$folder/root"
server.bind = "127.0.0.1"
server.port = $port
mimetype.assign = (".png" => "image/png")
CONF
/usr/sbin/lighttpd -D -f "$folder/lighttpd.conf" >"$folder/log" 2>&1 &
server=$!

validators() {
    curl --silent --max-time 5 --retry 20 --retry-connrefused --retry-delay 1 --range 100- --dump-header - \
        --output /dev/null "http://127.0.0.1:$port/$1" | tr -d '\r' | grep -ciE '^(etag|last-modified):' || true
}

typed=$(validators typed.png)
untyped=$(validators untyped.jxl)
echo "typed.png: $typed validators; untyped.jxl: $untyped validators"
[[ $typed == 2 && $untyped == 0 ]]
