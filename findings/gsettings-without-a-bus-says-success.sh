#!/usr/bin/env bash
# gsettings 2.74 with dconf 0.40 (Debian 12: libglib2.0-bin 2.74.6-2+deb12u9, dconf-gsettings-backend 0.40.0-4): where
# no session bus can be reached, as in a cron job, `gsettings set` ends with 0 and changes nothing. With an address of a
# bus that is not there it prints a warning, with neither bus nor display in the environment it may print none, and
# `gsettings writable` says `true` in both cases.
#
# Why it matters: a hook that sets GNOME's background from cron is counted as having worked. The environment needs
# DBUS_SESSION_BUS_ADDRESS of the user's session, and the value has to be read back.
set -euo pipefail

for wanted in libglib2.0-bin=2.74.6-2+deb12u9 dconf-gsettings-backend=0.40.0-4; do
    name=${wanted%%=*}
    dpkg-query -W "$name" >/dev/null 2>&1 || apt-get install --yes --no-install-recommends "$wanted" >/dev/null
    [[ $(dpkg-query -W -f '${Version}' "$name") == "${wanted#*=}" ]] || { echo "wanted $wanted"; exit 1; }
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# A schema of our own, so that nothing depends on which desktop is installed.
mkdir "$folder/schemas"
cat >"$folder/schemas/test.gschema.xml" <<'XML'
<schemalist><schema id="org.example.wall" path="/org/example/wall/">
  <key name="picture" type="s"><default>'unset'</default></key>
</schema></schemalist>
XML
glib-compile-schemas "$folder/schemas" 2>/dev/null ||
    { apt-get install --yes --no-install-recommends libglib2.0-dev-bin >/dev/null; glib-compile-schemas "$folder/schemas"; }

as_cron() {
    env -i PATH="$PATH" HOME="$folder" GSETTINGS_SCHEMA_DIR="$folder/schemas" \
        DBUS_SESSION_BUS_ADDRESS="unix:path=$folder/no-bus" timeout 20 gsettings "$@"
}

as_cron set org.example.wall picture 'file:///a.png' && status=0 || status=$?
value=$(as_cron get org.example.wall picture)
writable=$(as_cron writable org.example.wall picture)
echo "set: exit $status; read back: $value; writable: $writable"
[[ $status == 0 && $value == "'unset'" && $writable == true ]]
