#!/usr/bin/env python3
"""Types at a terminal of its own: typed.py COMMAND, with [[PROMPT, ANSWER], ...] as JSON on standard input.

Each answer is typed once its prompt, a regular expression, is shown, and followed by Enter. Prints as JSON what was shown, the exit
code, and how long it took in all and waiting for answers.
"""
import json
import os
import pty
import re
import select
import signal
import sys
import time

# Without a word; then it is interrupted.
PATIENCE_S = 120
# As long as somebody needs who types fast.
TYPES_S = 0.2


def main(command):
    answers = json.load(sys.stdin)
    begin, typing = time.monotonic(), 0.0
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execvp("bash", ["bash", "-c", command])
    shown, seen, hangs = b"", 0, False
    while True:
        if not select.select([terminal], [], [], PATIENCE_S)[0]:
            hangs = True
            os.kill(pid, signal.SIGKILL)
        try:
            part = os.read(terminal, 65536)
        except OSError:
            part = b""
        if not part:
            break
        shown += part
        if answers and (found := re.search(answers[0][0].encode(), shown[seen:])):
            seen += found.end()
            time.sleep(TYPES_S)
            typing += TYPES_S
            os.write(terminal, answers.pop(0)[1].encode() + b"\n")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = shown.decode(errors="replace").replace("\r\n", "\n")
    took = time.monotonic() - begin
    print(json.dumps({"shown": text, "status": status, "hangs": hangs, "unasked": answers, "took_s": round(took, 2), "typing_s": typing}))


main(sys.argv[1])
