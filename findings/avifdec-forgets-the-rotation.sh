#!/usr/bin/env bash
# avifdec 0.11.1 (Debian 12, libavif-bin 0.11.1-1+deb12u1): a picture with an `irot` property is written as it is coded.
# The PNG has the unturned width and height and no orientation of its own, so the quarter turn is lost without a word.
# vips and ImageMagick on the same file (both by way of libheif 1.15) give the turned picture, as browsers show it.
#
# Why it matters: avifdec is the obvious judge for an AVIF's size, and the obvious converter for a desktop that shows
# none. For turned pictures it answers with width and height exchanged.
set -euo pipefail

for wanted in libavif-bin libvips-tools imagemagick; do
    dpkg-query -W "$wanted" >/dev/null 2>&1 || apt-get install --yes --no-install-recommends "$wanted" >/dev/null
done
version=$(dpkg-query -W -f '${Version}' libavif-bin)
[[ $version == 0.11.1-1* ]] || { echo "wanted libavif-bin 0.11.1-1, have $version"; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
convert -size 200x100 gradient:blue-red wide.png
timeout 60 avifenc --irot 1 wide.png turned.avif >/dev/null
timeout 60 avifdec turned.avif avifdec.png >/dev/null
timeout 60 vips copy turned.avif vips.png 2>/dev/null
timeout 60 convert turned.avif magick.png 2>/dev/null
size() { identify -format '%wx%h' "$1"; }
turn=$(identify -format '%[orientation]' avifdec.png)
echo "avifdec $(size avifdec.png) (orientation $turn), vips $(size vips.png), ImageMagick $(size magick.png)"
[[ $(size avifdec.png) == 200x100 && $turn == Undefined ]]
[[ $(size vips.png) == 100x200 && $(size magick.png) == 100x200 ]]
