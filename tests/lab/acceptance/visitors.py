#!/usr/bin/env python3
"""Visitors of a site, at a steady rate and each with a connection of its own, until standard input ends.

visitors.py RATE HOST [ADDRESS [PATIENCE]]   Prints what became of them as JSON: how many saw each page, failures, the slowest's time.
A line before it says that the first has been answered.
"""
import collections
import http.client
import json
import select
import sys
import threading
import time

# Above what the site waits for a server that is silent.
PATIENCE_S = 25

pages, failures, slowest = collections.Counter(), [], 0.0
lock = threading.Lock()


def visit(host, address, patience):
    global slowest
    at, begin, said = time.time(), time.monotonic(), None
    try:
        connection = http.client.HTTPConnection(address, timeout=patience)
        connection.request("GET", "/", headers={"Host": host, "Connection": "close"})
        answer = connection.getresponse()
        page = answer.read().decode().strip()
        if answer.status != 200:
            said = f"status {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        said = f"{type(error).__name__}: {error}"
    took = time.monotonic() - begin
    with lock:
        slowest = max(slowest, took)
        if not pages and not failures:
            print("they come", flush=True)
        if said:
            failures.append({"at": round(at, 3), "took_s": round(took, 3), "said": said})
        else:
            pages[page] += 1


def main(rate, host, address="127.0.0.1", patience=PATIENCE_S):
    due, visits = time.monotonic(), []
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        due += 1 / float(rate)
        visits.append(threading.Thread(target=visit, args=(host, address, float(patience))))
        visits[-1].start()
    for each in visits:
        each.join()
    print(json.dumps({"pages": pages, "failures": failures, "slowest_s": round(slowest, 3)}))


main(*sys.argv[1:])
