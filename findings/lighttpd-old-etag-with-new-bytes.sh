#!/usr/bin/env bash
# lighttpd 1.4.69 (Debian 12, 1.4.69-1): its stat cache (`server.stat-cache-engine = "simple"`, the default) answers for
# a second or two after a file was rewritten with the old ETag and Last-Modified, and with the new bytes. A request
# with `Range` and the old ETag in `If-Range` gets 206 in that time: a piece of the new file, under the validator of
# the old one.
#
# Why it matters: this is the one proof that two pieces belong together, and it is false here. A client that continues
# a download in the moment of the change joins two images, and only the bytes themselves can tell. With "disable" the
# validator is right at once.
set -euo pipefail

version=1.4.69-1
dpkg-query -W lighttpd >/dev/null 2>&1 || apt-get install --yes --no-install-recommends "lighttpd=$version" >/dev/null
[[ $(dpkg-query -W -f '${Version}' lighttpd) == "$version" ]] || { echo "wanted lighttpd $version"; exit 1; }

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/root"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

start() {
    cat >"$folder/lighttpd.conf" <<CONF
server.document-root = "$folder/root"
server.bind = "127.0.0.1"
server.port = $port
server.stat-cache-engine = "$1"
mimetype.assign = (".png" => "image/png")
CONF
    /usr/sbin/lighttpd -D -f "$folder/lighttpd.conf" >"$folder/log" 2>&1 &
    server=$!
}

# Answers with which file the bytes are of, and with the status, right after a change.
after_a_change() {
    printf 'old%.0s' {1..1000} >"$folder/root/a.png"
    touch --date '1 hour ago' "$folder/root/a.png"
    local etag
    etag=$(curl --silent --max-time 5 --retry 20 --retry-connrefused --retry-delay 1 --head \
        "http://127.0.0.1:$port/a.png" | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
    printf 'new%.0s' {1..1000} >"$folder/root/a.png"
    curl --silent --max-time 5 --range 1500-1502 --header "If-Range: $etag" --write-out ' %{http_code}' \
        "http://127.0.0.1:$port/a.png" | tail -c 7
}

# The cache is looked through each second, so that one change may fall into the moment when it is right.
stale() {
    start "$1"
    local count=0
    for _ in {1..10}; do
        [[ $(after_a_change) != "new 206" ]] || count=$((count + 1))
    done
    kill "$server"
    wait "$server" 2>/dev/null || true
    echo "$count"
}

simple=$(stale simple)
disabled=$(stale disable)
echo "206 with new bytes under the old ETag, of 10 changes: simple $simple, disable $disabled"
((simple > 0 && disabled == 0))
