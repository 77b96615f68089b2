#!/usr/bin/env bash
# Apache 2.4 (Debian 12, checked with 2.4.71-1~deb12u1): `If-Range` with the very Last-Modified that the server sent is
# taken as "changed" while the file is younger than a minute: the whole file comes with 200. For an older file the same
# request gets 206. (A date is a strong validator only then: RFC 9110 section 8.8.2.2.) `If-Unmodified-Since` of the
# year 2000 together with `Range` is let through with 206 for the young file, and refused with 412 for the old one.
#
# Why it matters: a file that was published a moment ago is fetched from its start after each cut where only the date
# is kept; and a test that writes its file and asks at once sees the opposite of what the server does a minute later.
set -euo pipefail

version=2.4.71-1~deb12u1
dpkg-query -W apache2 >/dev/null 2>&1 || apt-get install --yes --no-install-recommends "apache2=$version" >/dev/null
[[ $(dpkg-query -W -f '${Version}' apache2) == "$version" ]] || { echo "wanted apache2 $version"; exit 1; }

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/root"
chmod 755 "$folder" "$folder/root"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$folder/apache.conf" <<CONF
ServerRoot "$folder"
ServerName localhost
PidFile "$folder/pid"
ErrorLog "$folder/errors"
Listen 127.0.0.1:$port
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
DocumentRoot "$folder/root"
CONF
/usr/sbin/apache2 -X -f "$folder/apache.conf" >"$folder/log" 2>&1 &
server=$!

ask() {
    local name=$1
    shift
    curl --silent --max-time 5 --retry 20 --retry-connrefused --retry-delay 1 --dump-header - --output /dev/null "$@" \
        "http://127.0.0.1:$port/$name" | tr -d '\r'
}
status() {
    ask "$@" | sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p'
}
with_its_date() {
    status "$1" --range 100- --header "If-Range: $(ask "$1" | sed -n 's/^Last-Modified: //p')"
}

since="If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT"
head -c 4000 /dev/zero >"$folder/root/old.png"
touch --date '10 minutes ago' "$folder/root/old.png"
ask old.png >/dev/null
head -c 4000 /dev/zero >"$folder/root/young.png"
young="$(with_its_date young.png) $(status young.png --range 100- --header "$since")"
old="$(with_its_date old.png) $(status old.png --range 100- --header "$since")"
echo "If-Range with its own date, If-Unmodified-Since 2000: young $young, old $old"
[[ $young == "200 206" && $old == "206 412" ]]
