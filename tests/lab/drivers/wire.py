#!/usr/bin/env python3
"""A wire with latency, jitter and loss between two interfaces, for kernels without netem.

wire.py A B DELAY_MS [JITTER_MS [LOSS_PERCENT]]   carry frames both ways
wire.py offload IF                                only turn checksum and segmentation offload off
"""
import ctypes
import fcntl
import heapq
import random
import select
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
# ETHTOOL_STXCSUM, _SSG, _STSO, _SGSO, _SGRO. A raw socket sees frames before the checksum
# is filled in; with offload on, the far side drops every TCP and UDP packet re-sent here.
OFFLOADS = (0x17, 0x19, 0x1F, 0x24, 0x2C)


def offload_off(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for cmd in OFFLOADS:
            value = bytearray(struct.pack("II", cmd, 0))
            buf = (ctypes.c_char * 8).from_buffer(value)
            ifreq = struct.pack("16sP16x", name.encode(), ctypes.addressof(buf))
            try:
                fcntl.ioctl(s, SIOCETHTOOL, ifreq)
            except OSError as e:
                if e.errno not in (95, 22):  # not supported on this interface
                    raise


def raw(name):
    offload_off(name)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.setsockopt(263, 1, struct.pack("IHH8s", socket.if_nametoindex(name), 1, 0, b""))  # promiscuous
    s.bind((name, 0))
    s.setblocking(False)
    return s


def main(a, b, delay, jitter=0.0, loss=0.0):
    socks = {raw(a): None, raw(b): None}
    first, second = socks
    socks[first], socks[second] = second, first
    queue, last, n = [], {}, 0
    while True:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, out, frame = heapq.heappop(queue)
            try:
                out.send(frame)
            except OSError:
                pass  # the link is down, or its queue full: the frame is lost
        wait = max(0.0, queue[0][0] - now) if queue else None
        for s in select.select(list(socks), [], [], wait)[0]:
            while True:
                try:
                    frame, meta = s.recvfrom(65536)
                except (BlockingIOError, OSError):
                    break
                if meta[2] == socket.PACKET_OUTGOING or random.random() * 100 < loss:
                    continue
                # frames of one direction keep their order, as on most real paths
                due = max(last.get(s, 0.0), time.monotonic() + (delay + random.uniform(-jitter, jitter)) / 1000)
                last[s] = due
                n += 1
                heapq.heappush(queue, (due, n, socks[s], frame))


if __name__ == "__main__":
    if sys.argv[1] == "offload":
        offload_off(sys.argv[2])
    else:
        main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
