"""What was claimed, what came of it and how long it took: told as it happens, and written as text and JSON."""

import contextlib
import json
import subprocess
import threading
import time
import traceback
from pathlib import Path

from hosts import BUSY, Failed, Stopped, Unable, Untimely, crowded, stopping


class Broken(Exception):
    """A claim failed that all others of its part rest on."""


RESULTS = ("passed", "failed", "skipped", "late")


class Report:
    """All claims of all parts. Threads may claim at once."""

    def __init__(self, **about):
        self.about = about
        self.claims = []
        self.figures = {}
        self.lock = threading.Lock()
        self.begin = time.monotonic()

    def add(self, claim):
        with self.lock:
            self.claims.append(claim)
            print(line(claim), flush=True)

    def count(self, result):
        return sum(claim["result"] == result for claim in self.claims)

    def summary(self):
        took = time.monotonic() - self.begin
        counts = ", ".join(f"{self.count(result)} {result}" for result in RESULTS if result != "late" or self.count(result))
        return f"{counts} in {took:.0f} s"

    def write(self, directory, name, parts):
        """As NAME.json and NAME.txt, in the order of parts."""
        claims = sorted(self.claims, key=lambda claim: parts.index(claim["part"]))
        document = {
            **self.about,
            "took_s": round(time.monotonic() - self.begin, 1),
            **{result: self.count(result) for result in RESULTS},
            "figures": self.figures,
            "claims": claims,
        }
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
        head = [f"{key}: {value}" for key, value in {**self.about, **self.figures}.items()]
        lines = [*head, *map(line, claims), self.summary()]
        (directory / f"{name}.txt").write_text("\n".join(lines) + "\n")


class Part:
    """A part of the report, of the cases that one lab serves."""

    def __init__(self, report, name, again=False):
        self.report = report
        self.name = name
        # What is late is tried once more.
        self.again = again
        self.late = False
        # What another part claims as well is of interest only if it fails.
        self.failures_only = False

    @contextlib.contextmanager
    def claim(self, id, sentence, vital=False):
        """Holds if its block ends. A block that fails ends there, and what follows it goes on, unless the claim is `vital`."""
        begin = time.monotonic()
        try:
            yield
        except Stopped:
            raise
        except Unable as why:
            self.skip(id, sentence, str(why))
            return
        except Failed as failed:
            self.fail(id, sentence, begin, failed, vital)
        except Exception:
            # A mistake of the suite's own.
            self.add(id, sentence, "failed", begin, traceback.format_exc())
        else:
            self.add(id, sentence, "passed", begin)
            return
        if vital:
            raise Broken(id)

    def fail(self, id, sentence, begin, failed, vital=False):
        """What is late on a machine that does much besides has not failed yet."""
        why = isinstance(failed, Untimely) and not vital and not self.again and crowded(BUSY)
        self.late = self.late or bool(why)
        self.add(id, sentence, "late" if why else "failed", begin, f"{why}\n{failed}" if why else str(failed))

    def skip(self, id, sentence, why):
        self.add(id, sentence, "skipped", time.monotonic(), why)

    def add(self, id, sentence, result, begin, said=None):
        if self.failures_only and result == "passed":
            return
        claim = {"part": self.name, "id": id, "sentence": sentence, "result": result, "took_s": round(time.monotonic() - begin, 2)}
        if said:
            claim["said"] = said
        self.report.add(claim)

    def failed(self):
        return any(claim["part"] == self.name and claim["result"] == "failed" for claim in self.report.claims)

    def figure(self, name, value):
        """Something measured that belongs to no claim alone."""
        with self.report.lock:
            self.report.figures.setdefault(name, value)


def line(claim):
    word = {"passed": "ok", "failed": "FAILED", "skipped": "SKIPPED", "late": "late, to be tried again"}[claim["result"]]
    told = f"{word}: {claim['id']}: {claim['sentence']} ({claim['took_s']:.1f} s)"
    return "\n    ".join([told, *claim.get("said", "").splitlines()])


def keep(hosts, directory):
    """What the hosts can tell of a failure: their journals and the files in question."""
    if stopping.is_set():
        return
    places = "etc/weir etc/nginx var/lib/weir-apply var/log/nginx"
    for host in hosts:
        to = directory / host.name
        to.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(Failed, Unable):
            (to / "journal").write_text(host.journal("-o", "short-precise"))
        with contextlib.suppress(Failed):
            host.run(f"cd /; tar -cf /root/kept.tar $(ls -d {places} 2>/dev/null)")
            host.get("/root/kept.tar", to)


def commit():
    said = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return said.stdout.strip() or "unknown"
