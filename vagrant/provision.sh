#!/bin/sh
# Sets up one server: NGINX, weir from the package in DIR, a page that names the server, and on the balancer weir's configuration. A
# web server is configured by join.sh, which has the key. Run as root, by Vagrant and by the lab's hosts; again, it changes nothing.
# Usage: provision.sh DIR lb|web ADDRESS
set -eu
dir=$1 role=$2 address=$3

# The newest of those for this architecture.
package() {
    found=$(ls -1 "$@" 2>/dev/null | sort -V | tail -n 1)
    [ -n "$found" ] || { echo "error: no package in $dir for this server; 'make package' builds them" >&2; exit 1; }
    echo "$found"
}
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt() { apt-get -y -qq -o Dpkg::Use-Pty=0 install "$@" </dev/null; }
    weir=$(package "$dir"/weir_*"_$(dpkg --print-architecture).deb")
    # A fresh box knows of no packages yet.
    command -v nginx >/dev/null || { apt-get -qq update && apt nginx >/dev/null; }
    apt "$weir" >/dev/null
    pages=/var/www/html
else
    weir=$(package "$dir"/weir-*".$(uname -m).rpm")
    command -v nginx >/dev/null || dnf -y -q install nginx
    dnf -y -q install "$weir"
    pages=/usr/share/nginx/html
fi

case "$role" in
    lb) weir init lb --address "$address" --yes ;;
    web)
        [ "$(cat "$pages/index.html" 2>/dev/null || :)" = "from $(hostname -s)" ] || echo "from $(hostname -s)" >"$pages/index.html"
        systemctl enable -q --now nginx
        ;;
esac
