#!/usr/bin/env python3
"""Hundreds of members of a cluster in plain text, without agents: one program that answers for all of them.

crowd.py BALANCER COUNT   Each is a web server, at an address in 10.99.0.0/16 that is to lead here. A line NUMBER WEIGHT on standard
input gives one of them another weight; the end of the input ends all.
"""
import select
import socket
import struct
import sys

PORT = 7946
# docs/memberlist.md 1.8
PING, ACK, ALIVE, PUSH_PULL, COMPOUND, CRC = 0, 2, 4, 6, 7, 12
VERSIONS = bytes([1, 5, 2, 2, 5, 5])
IP_PKTINFO = 8


def packed(value):
    """In memberlist's dialect of msgpack (docs/memberlist.md 2.1)."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if value < 128 else b"\xce" + struct.pack(">I", value)
    if isinstance(value, dict):
        return bytes([0x80 | len(value)]) + b"".join(packed(key) + packed(value[key]) for key in sorted(value))
    value = value.encode() if isinstance(value, str) else value
    return (bytes([0xA0 | len(value)]) if len(value) < 32 else b"\xda" + struct.pack(">H", len(value))) + value


def unpacked(data, at=0):
    """A map of numbers and short byte strings, and where it ends."""
    kind = data[at]
    if kind < 0x80:
        return kind, at + 1
    if kind < 0x90:
        found, at = {}, at + 1
        for _ in range(kind & 0x0F):
            key, at = unpacked(data, at)
            found[key], at = unpacked(data, at)
        return found, at
    if 0xA0 <= kind < 0xC0:
        end = at + 1 + (kind & 0x1F)
        return data[at + 1 : end], end
    if kind in (0xC0, 0xC2, 0xC3):
        return kind == 0xC3, at + 1
    length = {0xCC: 1, 0xCD: 2, 0xCE: 4}[kind]
    return int.from_bytes(data[at + 1 : at + 1 + length], "big"), at + 1 + length


def addr(number):
    return bytes([10, 99, *number.to_bytes(2, "big")])


def member(number, weight, incarnation, name="Node"):
    tags = {"role": "web", "port": "8080", "weight": str(weight)}
    return {name: f"m{number:03}", "Addr": addr(number), "Port": PORT, "Meta": b"\xff" + packed(tags), "Incarnation": incarnation, "Vsn": VERSIONS}


def introduce(balancer, count):
    """As one of them would that joins and knows all others."""
    nodes = b"".join(packed({**member(number, 1, 1, "Name"), "State": 0}) for number in range(1, count + 1))
    head = packed({"Nodes": count, "UserStateLen": 0, "Join": True})
    with socket.create_connection((balancer, PORT), timeout=10) as stream:
        stream.sendall(bytes([PUSH_PULL]) + head + nodes)
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65536):
            pass


def messages(packet):
    if packet[0] == CRC:
        packet = packet[5:]
    if packet[0] != COMPOUND:
        return [packet]
    lengths = struct.unpack_from(f">{packet[1]}H", packet, 2)
    parts, at = [], 2 + 2 * len(lengths)
    for length in lengths:
        parts.append(packet[at : at + length])
        at += length
    return parts


def answer(udp):
    """Whoever is probed is alive."""
    packet, told, _, peer = udp.recvmsg(65536, 256)
    to = next(info[8:12] for level, kind, info in told if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO))
    for message in messages(packet):
        if message[0] == PING:
            ack = bytes([ACK]) + packed({"SeqNo": unpacked(message, 1)[0][b"SeqNo"], "Payload": b""})
            # From the address that was asked.
            udp.sendmsg([ack], [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, to, to))], 0, peer)


def main(balancer, count):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    udp.bind(("0.0.0.0", PORT))
    introduce(balancer, int(count))
    print("introduced", flush=True)
    incarnation = 1
    while True:
        for ready in select.select([udp, sys.stdin], [], [])[0]:
            if ready is udp:
                answer(udp)
                continue
            line = sys.stdin.readline()
            if not line:
                return
            number, weight = map(int, line.split())
            incarnation += 1
            alive = bytes([ALIVE]) + packed(member(number, weight, incarnation))
            udp.sendto(alive, (balancer, PORT))


main(*sys.argv[1:])
