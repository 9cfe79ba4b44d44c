"""Whether a deb and an rpm hold the same files. Usage: same_files.py DEB RPM"""

import hashlib
import io
import re
import subprocess
import sys
import tarfile

# Where the same file has another place in the rpm.
MOVED = {
    "/usr/share/zsh/vendor-completions/_weir": "/usr/share/zsh/site-functions/_weir",
    "/usr/share/doc/weir/crates.gz": "/usr/share/licenses/weir/crates.gz",
    **{
        f"/usr/lib/systemd/system/{unit}.service.d/system-calls.conf": f"/usr/share/weir/systemd/{unit}.service.d/system-calls.conf"
        for unit in ("weir", "weir-apply", "weir-apply-recover")
    },
}
ONLY_DEB = {"/usr/share/lintian/overrides/weir", "/usr/share/doc/weir/copyright", "/usr/share/doc/weir/changelog.Debian.gz"}
ONLY_RPM = {
    "/usr/lib/systemd/system-preset/80-weir.preset", "/usr/share/licenses/weir/LICENSE-APACHE", "/usr/share/licenses/weir/LICENSE-MIT",
}


def run(*words):
    return subprocess.check_output(words)


def deb(path):
    """Mode, owner and checksum of each file; of directories only those that are ours."""
    with tarfile.open(fileobj=io.BytesIO(run("dpkg-deb", "--fsys-tarfile", path))) as archive:
        for member in archive:
            name = "/" + member.name.removeprefix("./").rstrip("/")
            if member.isfile():
                content = archive.extractfile(member).read()
                yield name, (f"{member.mode:o}", f"{member.uid}:{member.gid}", hashlib.sha256(content).hexdigest())


def rpm(path):
    shown = run("rpm", "-qp", "--qf", r"[%{FILENAMES}\t%{FILEMODES:octal}\t%{FILEUSERNAME}:%{FILEGROUPNAME}\t%{FILEDIGESTS}\n]", path).decode()
    for line in shown.splitlines():
        name, mode, owner, digest = line.split("\t")
        if mode.startswith("100"):
            yield name, (f"{int(mode[-4:], 8):o}", owner, digest)
        else:
            directories[name] = f"{mode[-4:]} {owner}"


directories = {}
in_deb = {MOVED.get(name, name): (mode, "root:root" if owner == "0:0" else owner, digest) for name, (mode, owner, digest) in deb(sys.argv[1])}
in_rpm = dict(rpm(sys.argv[2]))
faults = [f"only in the deb: {name}" for name in sorted(in_deb.keys() - in_rpm.keys() - ONLY_DEB)]
faults += [f"only in the rpm: {name}" for name in sorted(in_rpm.keys() - in_deb.keys() - ONLY_RPM)]
faults += [f"{name}: {in_deb[name]} in the deb, {in_rpm[name]} in the rpm" for name in sorted(in_deb) if in_rpm.get(name, in_deb[name]) != in_deb[name]]
faults += [f"in both: {name}" for name in sorted((ONLY_DEB & in_rpm.keys()) | (ONLY_RPM & in_deb.keys()))]

# The directories: what tmpfiles.d makes, which the deb's script does as well, is the rpm's own.
with open("packaging/tmpfiles.d/weir.conf", encoding="utf-8") as file:
    made = {f[1]: f"{f[2]} {f[3]}:{f[4]}" for f in map(str.split, file) if f and f[0] == "d"}
own = {name: said for name, said in directories.items() if re.match("/(etc|var/lib)/weir", name)}
if made != own:
    faults.append(f"tmpfiles.d makes {made}, the rpm owns {own}")
print("\n".join(faults) or f"{len(in_deb)} files")
sys.exit(bool(faults))
