"""What a web server knows of its own health, and who hears of it."""

import json
import re

from cluster import WEBS, lb, now, servers_are, told, web1, web2
from hosts import expect, throughout, within
from nginx import status

DROP_IN = "/etc/weir/weir.d/checks.toml"
# Here somebody's health changes more often than a balancer lets pass.
CALM = "[upstream.web.policy]\nflap = { changes = 0 }\n"
# Whoever hangs ignores being told to end, and says so when it is there twice.
HANGS = "trap \\\"\\\" TERM; [ ! -e /tmp/hangs ] || echo >/tmp/hangs.twice; : >/tmp/hangs; sleep 1.5; rm /tmp/hangs"
CONFIG = f"""
[check.site]
systemd = "www.service"
interval = "500ms"
fall = 2
[check.page]
http = "http://127.0.0.1:8080/"
body = "^from web1"
interval = "500ms"
[check.job]
ttl = "4s"
[check.slow]
exec = ["/bin/sh", "-c", "{HANGS}"]
interval = "500ms"
timeout = "300ms"
"""


def health(wanted, at=lb):
    members = json.loads(at.run("weir members --format json"))["members"]
    said = next(member["health"] for member in members if member["name"] == "web1")
    expect(said == wanted, f"{at} hears of web1 that it is {said}, not {wanted}")


def check(name, wanted):
    listed = json.loads(web1.run("weir check list --format json"))["checks"]
    said = next(check for check in listed if check["name"] == name)
    expect(said["state"] == wanted, f"{name} is {said}, not {wanted}")


def status_says(pattern):
    said = status(web1)[0]
    expect(re.search(pattern, said), said)


def configured(text, at=web1):
    at.run("mkdir -p /etc/weir/weir.d")
    at.write(DROP_IN, text)
    at.run("weir reload")


def checks(report):
    only = CONFIG.partition("[check.job]")[0]
    configured(CALM, lb)
    try:
        with report.claim("check.systemd", "a check asks systemd about a unit, from within the agent's sandbox, and another one the site"):
            configured(only)
            within(10, health, "passing")
            web1.expect("weir check list | grep -o '^[a-z]* *[a-z]* *passing' | tr -s ' '", "page http passing\nsite systemd passing")
            web1.expect("weir check list | grep -c 'active (running)'", "1")
        with report.claim("check.critical", "the unit stops, and the web server, which says that it is critical, is out of the upstream"):
            since = now(web1)
            web1.run("systemctl stop www")
            within(10, health, "critical")
            within(10, servers_are, web2)
            within(5, status_says, "1 critical, .*; here: .*site is critical")
            told(web1, since, "check changed check=site before=passing after=critical output=.*inactive")
        with report.claim("check.passing", "it starts, passes, and is a server again"):
            web1.run("systemctl start www")
            within(10, health, "passing")
            within(10, servers_are, *WEBS)
        with report.claim("check.ttl", "a word makes a check pass for its time, and no longer"):
            configured(CONFIG.partition("[check.slow]")[0])
            within(5, health, "wait")
            within(5, check, "site", "passing")
            web1.expect("weir check pass job --output 'three left'", "job is passing")
            within(5, health, "passing")
            within(10, health, "critical")
            web1.expect("weir check warn", "job is warning")
            within(5, health, "warning")
            web1.expect("weir check fail", "job is critical")
            within(5, health, "critical")
        with report.claim("check.hangs", "a program that hangs is critical, is never there twice, and delays no other check"):
            web1.run("rm -f /tmp/hangs*")
            configured(only + "[check.slow]" + CONFIG.partition("[check.slow]")[2])
            within(10, check, "slow", "critical")
            throughout(2, check, "site", "passing")
            web1.run("systemctl stop www")
            within(5, check, "site", "critical")
            web1.run("systemctl start www; test ! -e /tmp/hangs.twice")
    finally:
        web1.run(f"systemctl start www; rm -f {DROP_IN}; weir reload")
    with report.claim("check.none", "without checks a node says that it has none"):
        within(5, health, "none")
        within(10, servers_are, *WEBS)
    lb.run(f"rm -f {DROP_IN}; weir reload")
