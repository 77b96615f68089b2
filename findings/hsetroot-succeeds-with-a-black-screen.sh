#!/usr/bin/env bash
# hsetroot 1.0.5 (Debian 12, 1.0.5-1): an image in a format that its library does not read (here a valid PCX) is told as
# `Bad image` on stderr, the root window is made black, and the exit status is 0. The wallpaper that was there is gone.
#
# Why it matters: a hook that sets each new image as the wallpaper is counted as having worked, and leaves a black screen.
set -euo pipefail

for wanted in hsetroot=1.0.5-1 xvfb= imagemagick= x11-apps=; do
    name=${wanted%%=*}
    dpkg-query -W "$name" >/dev/null 2>&1 || apt-get install --yes --no-install-recommends "${wanted%=}" >/dev/null
done
[[ $(dpkg-query -W -f '${Version}' hsetroot) == 1.0.5-1 ]] || { echo "wanted hsetroot 1.0.5-1"; exit 1; }

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
# Without -noreset the server forgets its root window when the last program leaves.
Xvfb -displayfd 3 -noreset -screen 0 320x240x24 3>"$folder/display" 2>/dev/null &
server=$!
for _ in {1..50}; do [[ ! -s display ]] || break; sleep 0.1; done
DISPLAY=:$(cat display)
export DISPLAY

convert -size 64x48 xc:red red.png
convert -size 64x48 gradient:blue-white PCX:blue.pcx
corner() {
    xwd -root -silent | convert xwd:- -format '%[pixel:p{5,5}]' info:
}
timeout 20 hsetroot -cover red.png >/dev/null
before=$(corner)
timeout 20 hsetroot -cover blue.pcx && status=0 || status=$?
after=$(corner)
echo "red.png: $before; blue.pcx: exit $status, $after"
[[ $status == 0 && $before == 'srgb(255,0,0)' && $after == 'srgb(0,0,0)' ]]
