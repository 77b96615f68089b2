#!/usr/bin/env bash
# Compares two builds of the program, run in turn: BEFORE against AFTER.
#
#     benches/compare.sh RIG BEFORE AFTER [CASE]...
#
# RIG is the folder of the performance rig (`make-site` and `serve`, which want python3 and nginx with its Lua module); BEFORE
# and AFTER are programs, built with `cargo build --profile dist --features full`. Without CASE, all of them:
#
#     first    ms until the first image of 1,400 has its name, without latency and at 50 ms a round trip
#     urls     wall time of `urls` over 20,000 addresses
#     known    CPU time (user and system) of a run over 20,000 images that are all there
#     verify   wall time of `verify` over 1,400 images in memory, with one thread and with two: also against
#              `b3sum --num-threads`, if there is one (B3SUM names another than that on the PATH)
#     start    wall time of `--version` and of `sites list`: also against /bin/true
#     run      CPU time and wall time of a whole run over the 1,400 and over the 20,000 images
#
# Prints for each case the median of each, and the ratios AFTER / BEFORE of the rounds: least, median, greatest.
# ROUNDS is the number of rounds (9), WORK a folder in memory for sites and collections (2.5 GB; the sites are kept in it),
# PORTS the first of 20 free ports.
set -euo pipefail
# Fractions with a point.
export LC_ALL=C

usage() {
    sed -n '2,/^set /s/^# \?//p' "$0" | sed '$d'
    exit 2
}

(($# >= 3)) || usage
rig=$1
programs=("$2" "$3")
shift 3
cases=("$@")
((${#cases[@]})) || cases=(first urls known verify start run)
rounds=${ROUNDS:-9}
work=${WORK:-/dev/shm/wallhaul-compare}
ports=${PORTS:-28600}
b3sum=${B3SUM:-$(command -v b3sum || true)}
out=$work/out

stop() {
    "$rig/serve" stop --run "$work/run-typical"
    "$rig/serve" stop --run "$work/run-small"
    rm -rf "$out"
}

# serve PROFILE OFFSET: makes the site where it is missing, and serves it.
serve() {
    local site=$work/site-$1
    [[ -e $site/manifest.tsv ]] || "$rig/make-site" --out "$site" --profile "$1" >/dev/null
    "$rig/serve" start --site "$site" --run "$work/run-$1" --port-base $((ports + $2))
}

typical=http://127.0.0.1:$ports
latency=http://127.0.0.1:$((ports + 1))
small=http://127.0.0.1:$((ports + 10))

# timed COMMAND...: sets `wall` and `cpu`, in microseconds.
timed() {
    local TIMEFORMAT='%R %U %S' figures
    figures=$({ time "$@" >/dev/null 2>"$work/stderr"; } 2>&1) || {
        cat "$work/stderr" >&2
        return 1
    }
    read -r wall user system <<<"$figures"
    wall=$((10#${wall/./}000)) cpu=$((10#${user/./}000 + 10#${system/./}000))
}

# repeated COMMAND...: sets `wall` for 200 runs, in microseconds: one alone is too short.
repeated() {
    local start=${EPOCHREALTIME/./} at
    for ((at = 0; at < 200; at++)); do
        "$@" >/dev/null
    done
    wall=$((${EPOCHREALTIME/./} - start))
}

# fetch PROGRAM ORIGIN PAGES FOLDER
fetch() {
    "$1" fetch --no-config --quiet --base-url "$2" -p "1-$3" -j 50 -d "$4"
}

# first_image PROGRAM ORIGIN: sets `first`: how long after the start the first image had its name. Renaming sets its ctime.
first_image() {
    rm -rf "$out/first"
    local start=$EPOCHREALTIME ctime
    fetch "$1" "$2" 50 "$out/first" >/dev/null
    ctime=$(find "$out/first" -maxdepth 1 -type f -printf '%C@\n' | sort -n | sed -n 1p)
    first=$(awk -v from="$start" -v to="$ctime" 'BEGIN { printf "%d", (to - from) * 1e6 }')
}

# Lists of figures, by name, in microseconds.
declare -A figures=()
add() {
    figures[$1]+="$2 "
}

# ratios NAME A B: prints the medians of two lists, and the ratios A / B of their rounds.
ratios() {
    awk -v name="$1" -v a="${figures[$2]}" -v b="${figures[$3]}" '
        function sorted(list, n,    i, j, x) {
            for (i = 2; i <= n; i++) {
                x = list[i]
                for (j = i - 1; j > 0 && list[j] > x; j--) list[j + 1] = list[j]
                list[j + 1] = x
            }
        }
        function median(list, n) {
            return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
        }
        BEGIN {
            n = split(a, as, " ")
            split(b, bs, " ")
            for (i = 1; i <= n; i++) ratio[i] = as[i] / bs[i]
            sorted(as, n); sorted(bs, n); sorted(ratio, n)
            printf "%-34s %9.2f ms / %9.2f ms   %.3f  %.3f  %.3f\n", name, median(as, n) / 1000, median(bs, n) / 1000,
                ratio[1], median(ratio, n), ratio[n]
        }'
}

# each_round FUNCTION: calls it for both programs in every round, the other one first in every second round.
each_round() {
    local round at
    for ((round = 0; round < rounds; round++)); do
        for at in $((round % 2)) $(((round + 1) % 2)); do
            "$1" "${programs[at]}" "$at" "$round"
        done
    done
}

first_round() {
    first_image "$1" "$typical"
    add "plain$2" "$first"
    first_image "$1" "$latency"
    add "latency$2" "$first"
    rm -rf "$out/first"
}

urls_round() {
    timed "$1" urls --no-config --base-url "$small" -p 1-715
    add "urls$2" "$wall"
}

known_round() {
    timed fetch "$1" "$small" 715 "$out/known$2"
    add "known$2" "$cpu"
}

verify_round() {
    local threads
    for threads in 1 2; do
        timed "$1" verify --no-config --quiet -j "$threads" -d "$out/verified$2"
        add "verify$threads$2" "$wall"
        if [[ $b3sum ]]; then
            timed "$b3sum" --num-threads "$threads" "$out/verified$2"/*.png
            add "b3sum$threads$2" "$wall"
        fi
    done
}

start_round() {
    repeated "$1" --version
    add "version$2" "$wall"
    repeated "$1" sites list
    add "list$2" "$wall"
    repeated /bin/true
    add "true$2" "$wall"
}

run_round() {
    local site
    for site in "typical 50" "small 715"; do
        read -r site pages <<<"$site"
        rm -rf "$out/run"
        timed fetch "$1" "${!site}" "$pages" "$out/run"
        add "cpu-$site$2" "$cpu"
        add "wall-$site$2" "$wall"
    done
    rm -rf "$out/run"
}

mkdir -p "$work"
trap stop EXIT
stop
serve typical 0
serve small 10
mkdir -p "$out"

printf '%-34s %9s    / %9s      %s\n' "" after before "least, median, greatest of $rounds ratios"
for case in "${cases[@]}"; do
    case $case in
    first)
        each_round first_round
        ratios "first image" plain1 plain0
        ratios "first image, 50 ms" latency1 latency0
        ;;
    urls)
        each_round urls_round
        ratios "urls, 20,000" urls1 urls0
        ;;
    known)
        for at in 0 1; do
            fetch "${programs[at]}" "$small" 715 "$out/known$at" >/dev/null
        done
        each_round known_round
        ratios "20,000 known, CPU" known1 known0
        rm -rf "$out"/known?
        ;;
    verify)
        for at in 0 1; do
            fetch "${programs[at]}" "$typical" 50 "$out/verified$at" >/dev/null
        done
        each_round verify_round
        for threads in 1 2; do
            ratios "verify -j $threads" "verify${threads}1" "verify${threads}0"
            if [[ $b3sum ]]; then
                ratios "verify -j $threads / b3sum" "verify${threads}1" "b3sum${threads}1"
                ratios "before's verify -j $threads / b3sum" "verify${threads}0" "b3sum${threads}0"
            fi
        done
        rm -rf "$out"/verified?
        ;;
    start)
        each_round start_round
        ratios "200 x --version" version1 version0
        ratios "200 x --version / true" version1 true1
        ratios "before's --version / true" version0 true0
        ratios "200 x sites list" list1 list0
        ratios "200 x sites list / true" list1 true1
        ratios "before's sites list / true" list0 true0
        ;;
    run)
        each_round run_round
        for site in typical small; do
            ratios "$site, CPU" "cpu-${site}1" "cpu-${site}0"
            ratios "$site, wall" "wall-${site}1" "wall-${site}0"
        done
        ;;
    *) usage ;;
    esac
done
