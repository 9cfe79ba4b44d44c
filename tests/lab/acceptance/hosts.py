"""The hosts of labs: the verbs of tests/lab/hosts.sh as functions, whichever driver is behind them."""

import contextvars
import fcntl
import functools
import json
import os
import shlex
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VERBS = Path(__file__).resolve().parent.parent / "hosts.sh"
# An answer that takes longer is none.
PATIENCE_S = 300
# Of load, for each core. With more, what is late is tried again once the others have ended.
BUSY = 5
# With more, seconds say nothing of weir.
CROWDED = 10
# What a verb ends with that the driver cannot do.
UNABLE = 77
# Of one name at once: each part of the suite has one, and suites run side by side.
MOST_LABS = 20
# The name of the lab that is meant: each part of the suite has its own, with hosts of the same names and addresses.
LAB = contextvars.ContextVar("lab")
# Set when all is to end.
stopping = threading.Event()


class Failed(Exception):
    """What was claimed does not hold, and why."""


class Untimely(Failed):
    """It does not hold at its time. On a machine that does much besides that says little of weir."""


class Unable(Exception):
    """These hosts cannot be treated that way, and why."""


class Stopped(Exception):
    """Somebody wants to have done."""


def expect(holds, why):
    if not holds:
        raise Failed(why)


def in_time(holds, why):
    if not holds:
        raise Untimely(why)


def within(seconds, look, *args, **named):
    """Waits until `look` no longer fails. Returns its answer."""
    begin = time.monotonic()
    while True:
        try:
            return look(*args, **named)
        except Failed as failed:
            if time.monotonic() > begin + seconds:
                raise Untimely(f"not within {seconds} s: {failed}") from None
        # A look costs more than what it looks at: whoever has waited long can wait a little longer.
        pause(min(0.1 + (time.monotonic() - begin) / 20, 0.5))


def throughout(seconds, look, *args, **named):
    """Looks again and again, and fails as soon as `look` does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            look(*args, **named)
        except Failed as failed:
            raise Untimely(f"{failed}") from None
        pause(0.2)


def pause(seconds):
    if stopping.wait(seconds):
        raise Stopped


def together(do, *each):
    """Does the same for each at the same time, to the end of all. Returns the answers."""
    with ThreadPoolExecutor(len(each)) as pool:
        return [future.result() for future in [pool.submit(contextvars.copy_context().run, do, one) for one in each]]


def environment():
    return {**os.environ, "WEIR_LAB": LAB.get()}


def verb(*words, text=None):
    """One verb of the lab. Returns what it printed."""
    if stopping.is_set() and words[0] != "down":
        raise Stopped
    words = [*map(str, words)]
    # In a session of its own, for an interrupt is meant for us: half a verb would leave half a host.
    options = {"env": environment(), "capture_output": True, "text": True, "start_new_session": True, "timeout": PATIENCE_S}
    try:
        done = subprocess.run([VERBS, *words], input=text or "", **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end of it in {PATIENCE_S} s: {shlex.join(words)}") from None
    if done.returncode == UNABLE and words[0] not in ("exec", "unit"):
        raise Unable(done.stdout.strip())
    if done.returncode:
        said = f"{done.stdout}{done.stderr}".strip()
        raise Failed(f"{' '.join(words[:2])}: status {done.returncode}: {said}\n{words[-1]}")
    return done.stdout


class Host:
    """One of them, by its name."""

    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name

    @functools.cached_property
    def addr(self):
        return verb("addr", self.name).strip()

    def run(self, script, text=None):
        """A script of sh, as root, that must end with 0. Returns what it printed."""
        return verb("exec", self.name, "sh", "-euc", script, text=text)

    def silent(self, script):
        """The same, and it prints nothing on stderr."""
        said = self.run(f"{{ {script}\n}} 2>&1 >/dev/null")
        expect(not said, said)

    def says(self, script):
        """What a script prints, without the last line's end, whatever it ends with."""
        return self.run(f"( {script}\n) || :").rstrip("\n")

    def expect(self, script, wanted):
        said = self.says(script)
        expect(said == wanted, f"{self}: {script.strip()}: {said!r}, not {wanted!r}")

    def unit(self, script):
        return verb("unit", self.name, "sh", "-euc", script)

    def put(self, path, directory):
        verb("put", self.name, path, directory)

    def get(self, path, directory):
        verb("get", self.name, path, directory)

    def write(self, path, text, mode="0644"):
        self.run(f"install -m {mode} /dev/stdin {path}", text=text)

    def journal(self, *args):
        return verb("journal", self.name, "-o", "cat", *args)

    def logged(self, unit, since):
        """The unit's lines after a cursor. `-u` beside `--after-cursor` loses the first of them (systemd 252)."""
        fields = "--output-fields=_SYSTEMD_UNIT,UNIT,MESSAGE"
        entries = map(json.loads, verb("journal", self.name, "-o", "json", fields, f"--after-cursor={since}").splitlines())
        of_unit = (entry for entry in entries if f"{unit}.service" in (entry.get("_SYSTEMD_UNIT"), entry.get("UNIT")))
        return "\n".join(str(entry.get("MESSAGE")) for entry in of_unit)


def busy():
    """Why times measured now would say little, if so: per core, over a quarter of an hour, much more wants to run."""
    load, cores = os.getloadavg()[2], os.cpu_count()
    return f"the machine does much besides: its load is {load:.1f} on {cores} cores" if load > BUSY * cores else None


def crowded(limit=CROWDED):
    """Why what takes a moment may take long just now, if so."""
    load, cores = os.getloadavg()[0], os.cpu_count()
    return f"the machine does much besides: its load is {load:.1f} on {cores} cores" if load > limit * cores else None


def take(name):
    """Owns the lab of this name, or of the same name with a number, until the process ends, however it ends. What was left of
    it by somebody who was killed goes first."""
    for number in ("", *range(2, MOST_LABS + 1)):
        lab = f"{name}-{number}" if number else name
        # Not inherited: hosts outlive whoever made them.
        file = os.open(f"{tempfile.gettempdir()}/weir-{lab}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        LAB.set(lab)
        verb("down")
        return
    raise Failed(f"{MOST_LABS} labs of the name {name} run already")
