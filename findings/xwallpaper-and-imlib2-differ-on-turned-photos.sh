#!/usr/bin/env bash
# A JPEG whose EXIF says "turn me" (orientation 6), set as the wallpaper: xwallpaper 0.7.3 (Debian 12, 0.7.3-1+b1) shows
# it as stored, lying on its side; hsetroot 1.0.5 and everything else on imlib2 (feh) turns it. The same EXIF block in a
# PNG's `eXIf` chunk, which browsers follow, is ignored by both.
#
# Why it matters: width and height "as shown" depend on who shows. What a landscape rule lets through as 1920 x 1080
# stands upright on one desktop and lies on the other; turning the pixels once (`-auto-orient`) settles it for all.
set -euo pipefail

for wanted in xwallpaper=0.7.3-1+b1 hsetroot=1.0.5-1 xvfb= imagemagick= x11-apps= python3-venv=; do
    name=${wanted%%=*}
    dpkg-query -W "$name" >/dev/null 2>&1 || apt-get install --yes --no-install-recommends "${wanted%=}" >/dev/null
done
[[ $(dpkg-query -W -f '${Version}' xwallpaper) == 0.7.3-1+b1 ]] || { echo "wanted xwallpaper 0.7.3-1+b1"; exit 1; }
[[ $(dpkg-query -W -f '${Version}' hsetroot) == 1.0.5-1 ]] || { echo "wanted hsetroot 1.0.5-1"; exit 1; }

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pillow==11.3.0
venv/bin/python - <<'PY'
from PIL import Image

# Left half blue, right half red. Turned by a quarter to the right, blue is above and red is below.
image = Image.new("RGB", (128, 96), (255, 0, 0))
image.paste((0, 0, 255), (0, 0, 64, 96))
exif = Image.Exif()
exif[0x0112] = 6
image.save("turned.jpg", exif=exif, quality=95)
image.save("turned.png", exif=exif)
PY
Xvfb -displayfd 3 -noreset -screen 0 320x240x24 3>"$folder/display" 2>/dev/null &
server=$!
for _ in {1..50}; do [[ ! -s display ]] || break; sleep 0.1; done
DISPLAY=:$(cat display)
export DISPLAY

# The colour in the upper right corner: red as stored, blue as turned.
shown() {
    timeout 20 "$@" >/dev/null
    xwd -root -silent | convert xwd:- -format '%[fx:p{310,5}.b>0.5?1:0]' info: | sed 's/1/turned/; s/0/as stored/'
}
xwallpaper_jpeg=$(shown xwallpaper --zoom turned.jpg)
hsetroot_jpeg=$(shown hsetroot -cover turned.jpg)
xwallpaper_png=$(shown xwallpaper --zoom turned.png)
hsetroot_png=$(shown hsetroot -cover turned.png)
printf 'JPEG: xwallpaper %s, hsetroot %s\nPNG: xwallpaper %s, hsetroot %s\n' \
    "$xwallpaper_jpeg" "$hsetroot_jpeg" "$xwallpaper_png" "$hsetroot_png"
[[ $xwallpaper_jpeg == 'as stored' && $hsetroot_jpeg == turned ]]
[[ $xwallpaper_png == 'as stored' && $hsetroot_png == 'as stored' ]]
