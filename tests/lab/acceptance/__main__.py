#!/usr/bin/env python3
"""The acceptance suite: weir on systemd hosts, from nothing to a report. One part is set up by `weir init`, the others by hand.

Usage: python3 tests/lab/acceptance [CASE...]    by default all but the measurements, each part in a lab of its own beside the others

WEIR_LAB_DRIVER chooses the hosts (tests/lab/hosts.sh), WEIR_LAB_SUITE their Debian, WEIR_LAB_SMOKE=1 only what shows that the
package works there, WEIR_LAB_AT_ONCE how many parts run beside each other. The report is target/lab/report-SUITE.json and .txt; when something failed, what the hosts can tell of it is
beside it, in kept-SUITE.
"""

import contextvars
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import absent
import checks
import days
import dead
import departure
import first
import hosts
import install
import latency
import members
import nginx
import report as reports
import service
import templates
from cluster import ALL, settle
from hosts import UNABLE, VERBS, Failed, Stopped, Unable, expect, verb

ROOT = Path(__file__).resolve().parents[3]
OUT = ROOT / "target/lab"

# In order of worth: what comes first in a part tells most if it fails.
SMOKE = "smoke"
# As the README has it.
FIRST = "first"
PARTS = {
    SMOKE: [install.sound, install.privileges, members.weights, members.kill, members.leave, members.reboot],
    "dead": [
        dead.hung, dead.hung_alone, dead.hung_budget, dead.hung_neighbour, dead.loss, service.service_killed, service.agent_lost, service.cable,
        service.own_cable, service.cable_bare,
    ],
    "members": [
        members.power, members.freeze, members.cut, members.agent_killed, members.two_balancers, checks.checks, latency.beside_others,
    ],
    "departure": [
        departure.rolling, departure.restarted, departure.flight, departure.drained, departure.guarded, departure.guarded_late,
        departure.guarded_two,
        departure.at_once, departure.second_balancer, departure.remote,
    ],
    "nginx": [
        nginx.broken_neighbour, nginx.operator, nginx.counts, nginx.quiet, nginx.port_in_use, nginx.stopped, nginx.master_killed,
        nginx.reinstalled, nginx.helper_killed, nginx.others_reload,
    ],
    "days": [
        days.power_orders, days.host_stopped, days.left, days.reloaded, days.rotated, days.asked, days.journal, days.removed,
    ],
    FIRST: [first.again, first.third, first.second, first.enterprise, first.day_after],
    # What is told of the file that HAProxy's package brings is told for an hour.
    "packages": [install.upgraded, absent.not_installed, templates.haproxy],
    # So is an edit, and without a directory all is to be well again.
    "files": [absent.directories, nginx.edited, nginx.taken_out, nginx.disk_full, nginx.read_only, service.stream, service.https],
}
# Then tried on the hosts of the first part, where all is: all parts are to take about as long.
AFTER_SMOKE = [nginx.certificates, absent.records]
# What is claimed of all of them together.
WHOLE = "whole"
MOST_S = 600
# Parts beside each other: all, but where labs cannot be. Machines of Vagrant have the same addresses in every lab.
DRIVER = os.environ.get("WEIR_LAB_DRIVER") or "nspawn"
AT_ONCE = int(os.environ.get("WEIR_LAB_AT_ONCE") or (1 if DRIVER == "vagrant" else len(PARTS)))
# What wants the machine for itself, and runs only where it is named.
MEASUREMENTS = {"latency": [latency.helper_and_direct], "loss": [dead.loss_for_minutes]}


def ready(what):
    """Ends here where there can be no hosts."""
    done = subprocess.run([VERBS, "ready"], stdout=subprocess.PIPE, text=True)
    if done.returncode == UNABLE:
        print(f"SKIPPED: {what} on systemd hosts: {done.stdout.strip()}")
        sys.exit(0)
    if done.returncode:
        sys.exit(done.returncode)


def set_up(part, packages):
    """From nothing to a page served."""
    if part.name == FIRST:
        first.set_up(part, packages)
        return
    begin = time.monotonic()
    with part.claim("up", "three hosts boot", vital=True):
        verb("up", *ALL)
    install.packages(part, packages)
    install.configuration(part)
    part.figure("nothing_to_page_s", round(time.monotonic() - begin, 1))


def try_out(part, case):
    """Whether the case leaves the cluster as it found it."""
    begin = time.monotonic()
    try:
        try:
            case(part)
        except Unable as why:
            part.skip(f"{case.__name__}.rest", "what is left of the case", str(why))
        verb("heal")
        settle()
    except Stopped:
        raise
    except Exception as error:
        claim = (f"{case.__name__}.end", "the case ends, and leaves the cluster whole")
        if isinstance(error, Failed):
            part.fail(*claim, begin, error)
        else:
            part.add(*claim, "failed", begin, what(error))
        return False
    return True


def what(error):
    """In words; a mistake of the suite's own with where it was made."""
    return str(error) if isinstance(error, Failed) else "".join(traceback.format_exception(error))


def run(part, cases, packages, kept):
    """One part, in a lab of its own. What goes wrong outside of every claim is one that failed: the others' report is written.
    Returns the cases that are to be tried again."""
    begin = time.monotonic()
    late = []
    try:
        hosts.take("acceptance")
        try:
            in_lab(part, cases, packages, kept, late)
        finally:
            verb("down")
    except Stopped:
        pass
    except Exception as error:
        part.add(f"{part.name}.end", "the part comes to its end", "failed", begin, what(error))
    return late


def in_lab(part, cases, packages, kept, late):
    try:
        # What the first part shows the others only use.
        part.failures_only = part.again or part.name not in (SMOKE, FIRST)
        set_up(part, packages)
        part.failures_only = False
        for case in cases:
            part.late = False
            whole = try_out(part, case)
            if part.late:
                late.append(case)
            if whole:
                continue
            # The others are to find what they expect.
            reports.keep(ALL, kept / f"{part.name}-{case.__name__}")
            verb("down")
            part.failures_only = True
            set_up(part, packages)
            part.failures_only = False
        if part.failed():
            reports.keep(ALL, kept / part.name)
    except reports.Broken as broken:
        print(f"error: what follows in {part.name} rests on {broken}", file=sys.stderr)
        reports.keep(ALL, kept / part.name)
    except Failed:
        reports.keep(ALL, kept / part.name)
        raise


def in_time(report):
    part = reports.Part(report, WHOLE)
    claim = ("time", f"from nothing to the report it takes less than {MOST_S // 60} minutes")
    if why := hosts.busy() or (AT_ONCE < len(PARTS) and "parts ran one after the other"):
        part.skip(*claim, why)
        return
    with part.claim(*claim):
        took = time.monotonic() - report.begin
        expect(took < MOST_S, f"{took:.0f} s")


def chosen(names, smoke):
    """The parts and cases that are to run."""
    parts = {SMOKE: PARTS[SMOKE]} if smoke else PARTS | {SMOKE: PARTS[SMOKE] + AFTER_SMOKE} | (MEASUREMENTS if names else {})
    known = {case.__name__ for cases in parts.values() for case in cases}
    if unknown := set(names) - known:
        sys.exit(f"error: no case {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    if names:
        parts = {part: [case for case in cases if case.__name__ in names] for part, cases in parts.items()}
    return {part: cases for part, cases in parts.items() if cases}


def main(names):
    suite = os.environ.get("WEIR_LAB_SUITE") or "bookworm"
    if DRIVER == "vagrant":
        suite = f"vagrant-{(os.environ.get('WEIR_BOX') or 'ubuntu').replace('/', '-')}"
    smoke = os.environ.get("WEIR_LAB_SMOKE") == "1"
    parts = chosen(names, smoke)
    ready(f"the acceptance suite on {suite}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stop(number))

    kept = OUT / f"kept-{suite}"
    shutil.rmtree(kept, ignore_errors=True)
    report = reports.Report(suite=suite, driver=DRIVER, smoke=smoke, commit=reports.commit())
    with tempfile.TemporaryDirectory() as packages:
        if subprocess.run([ROOT / "tests/lab/packages", packages, "deb", "0.1.0-1"]).returncode:
            return stopped_by or 1
        # The building is no part of it.
        report.begin = time.monotonic()
        with ThreadPoolExecutor(min(AT_ONCE, len(parts))) as pool:
            running = [
                pool.submit(contextvars.Context().run, run, reports.Part(report, name), cases, Path(packages), kept)
                for name, cases in parts.items()
            ]
            late = {name: each.result() for name, each in zip(parts, running)}
        for name, cases in late.items():
            if cases:
                run(reports.Part(report, name, again=True), cases, Path(packages), kept)
    if not names and not stopped_by:
        in_time(report)
    report.write(OUT, f"report-{suite}", [*parts, WHOLE])
    print(f"{report.summary()}; {OUT.relative_to(ROOT)}/report-{suite}.json")
    if kept.exists():
        print(f"what the hosts can tell: {kept.relative_to(ROOT)}")
    return stopped_by or (1 if report.count("failed") else 0)


# The exit code, once somebody wants to have done.
stopped_by = 0


def stop(number):
    """All parts end at their next step, and take their hosts away."""
    global stopped_by
    stopped_by = 128 + number
    hosts.stopping.set()


sys.exit(main(sys.argv[1:]))
