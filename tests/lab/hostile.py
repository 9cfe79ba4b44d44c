"""Takes every place at the socket of `weir apply`, from the agent's own user: delivers nothing, or slowly, or too much, until it is
ended. Says READY once it has a thousand connections behind it."""
import os
import socket
import sys

PATH = "/run/weir-apply.sock"
HUGE = (6 * 1024 * 1024).to_bytes(4, "big") + b"[" * (1 << 18)


def attack(kind, held):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(0.2)
    try:
        client.connect(PATH)
        client.send([b"", b"\0\0", HUGE, b"\0\0\0\x02{}"][kind])
    except OSError:
        pass
    held.append(client)


held, total = [], 0
# What a request names as a file must not be followed: a link of ours in every place that we may write.
for directory in ("/tmp", "/var/lib/weir", "/run/weir"):
    try:
        os.symlink("/etc/shadow", f"{directory}/.weir-web.conf.weir-new")
    except OSError:
        pass
while True:
    attack(total % 4, held)
    total += 1
    if total == 1000:
        print("READY", flush=True)
    if len(held) > 500:
        held.clear()
