#!/bin/sh
# What the acceptance suite needs on a server besides weir, as tests/lab has it on hosts of its own. Run as root.
set -eu
command -v apt-get >/dev/null || { echo "error: the acceptance suite installs by apt; set WEIR_BOX to ubuntu or debian" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
missing=
for package in nginx libnginx-mod-stream haproxy curl python3 openssl procps iproute2 nftables; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
    apt-get -qq update
    # shellcheck disable=SC2086
    apt-get -y -qq -o Dpkg::Use-Pty=0 install $missing </dev/null
fi
# It is there for whoever starts it.
systemctl disable -q --now haproxy
