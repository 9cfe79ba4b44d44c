"""What docs/operate.md tells to type, and what it shows."""

import re
from pathlib import Path

import cluster
from hosts import expect

PAGE = Path(__file__).resolve().parents[3] / "docs/operate.md"
# The lab's network there.
NET = "10.77.0."


def block(mark, page=PAGE):
    """The lines of the page's block under `<!-- MARK -->`, with this lab's addresses."""
    found = re.search(rf"^<!-- {re.escape(mark)} -->\n```\w+\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    expect(found, f"{page.name} has no block '{mark}'")
    net = re.sub(r"\d+$", "", cluster.lb.addr)
    return found[1].replace(NET, net)


def follow(host, step, umask="022"):
    """Types what the page says for this step of the path from the package by hand. Where it stays in the working directory, that is /root."""
    host.write("/root/step", block(f"run: {step}"))
    return host.run(f"umask {umask}; cd /root; bash -eu step")


def as_shown(host, command):
    """On a terminal it prints what the page shows, but for the order of lines and the width of columns."""
    def even(text):
        return sorted(" ".join(line.split()) for line in text.splitlines())

    printed = host.run(f"NO_COLOR=1 script -qec {command!r} /dev/null")
    shown = block(f"shown by {command}")
    expect(even(printed) == even(shown), f"{command} prints\n{printed}not\n{shown}")


def marks(path):
    """Steps of a path that the page marks."""
    return set(re.findall(rf"^<!-- run: ({path} \w+) -->$", PAGE.read_text(), re.MULTILINE))
