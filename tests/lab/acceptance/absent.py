"""What a balancer needs and does not find: NGINX itself, a directory. The cluster is whole at the beginning of each case and at its end."""

from cluster import FILE, WEBS, lb, now, serves, servers_are, told, web1, weights_are
from hosts import within
from nginx import AGAIN_S, attention, restored, weight, well


def not_installed(report):
    apt, site = "DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0", "/etc/nginx/conf.d/shop.conf"
    package = lb.says("dpkg -S $(command -v nginx) | cut -d: -f1")
    lb.run(f"cp {site} /root/shop.conf")
    with restored(f"cp /root/shop.conf {site}; nginx -t -q; systemctl reload nginx"):
        since = now(lb)
        with report.claim("absent.nginx", "with NGINX purged a change is refused in plain words, and weir status tells what installs it"):
            lb.run(f"{apt} purge nginx-common >/dev/null 2>&1")
            weight(web1, 4)
            within(15, told, lb, since, "apply refused .*nginx is not installed, upstream web waits")
            attention(r"nginx is not installed, upstream web waits.*\n.*'apt install nginx'")
            lb.run(f"test ! -e {FILE}")
        lb.run(f"{apt} --no-download install {package} >/dev/null")
        with report.claim("absent.nginx.later", "when it is installed the change goes live by itself"):
            # A helper that runs already has /etc/nginx as it was, and may try once in vain.
            within(2 * AGAIN_S, weights_are, 2, 1)
    within(10, serves, *WEBS)
    within(10, well)
    weight(web1, 2)
    within(10, weights_are, 1, 1)


def directories(report):
    targets = FILE.rpartition("/")[0]
    missing(report, "absent.targets", targets, rf"cannot write {FILE}: no such file or directory.*\n.*create {targets}")


def missing(report, id, directory, words):
    """A directory goes, and comes back."""
    within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
    with restored(f"! test -e /root/away || {{ rm -rf {directory}; mv /root/away {directory}; }}"):
        lb.run(f"mv {directory} /root/away")
        with report.claim(id, f"without {directory} a change is refused, and weir status says what to do"):
            weight(web1, 4)
            within(15, attention, words)
            serves(*WEBS)
        # A helper that runs sees the place as it was when it started.
        within(15, lb.expect, "systemctl is-active weir-apply.service", "inactive")
        lb.run(f"mv /root/away {directory}")
        with report.claim(f"{id}.back", "with it the change goes live by itself"):
            within(AGAIN_S, weights_are, 2, 1)
            within(5, servers_are, *WEBS)
            within(10, well)
    weight(web1, 2)
    within(20, weights_are, 1, 1)
