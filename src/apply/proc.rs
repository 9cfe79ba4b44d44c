//! What `/proc` says about processes. Readable by all; `exe` and `syscall` would need CAP_SYS_PTRACE.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One process, whoever gets its number later.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// In clock ticks since boot; with the pid it names a process for good.
    pub(crate) started: u64,
}

impl Process {
    /// Whether it still runs, as `/proc` has it for everybody.
    pub fn is_there(self) -> bool {
        stat(self.pid).is_some_and(|stat| !stat.zombie && stat.started == self.started)
    }
}

/// What `stat` holds of interest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stat {
    pub(super) comm: String,
    pub(super) zombie: bool,
    /// By SIGSTOP, a terminal or a debugger.
    pub(super) stopped: bool,
    pub(super) parent: u32,
    pub(super) started: u64,
}

/// A file that a process has open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OpenFile {
    pub(super) dev: u64,
    pub(super) inode: u64,
    pub(super) socket: bool,
}

/// What `status` holds of interest: the effective user and whether SIGHUP is caught, blocked, pending.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Status {
    pub(super) uid: u32,
    pub(super) catches_hup: bool,
    pub(super) blocks_hup: bool,
    pub(super) hup_pending: bool,
    /// It has another number in a namespace of its own: it is a container's.
    pub(super) nested: bool,
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(file(pid, "stat")).ok()?)
}

pub(super) fn status(pid: u32) -> Option<Status> {
    parse_status(&std::fs::read_to_string(file(pid, "status")).ok()?)
}

/// The title that NGINX gives its processes, `nginx: worker process is shutting down`.
pub(super) fn title(pid: u32) -> Option<String> {
    let bytes = std::fs::read(file(pid, "cmdline")).ok()?;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).trim_end().to_owned())
}

/// The children of `parent` that are not zombies.
pub(super) fn children(parent: u32) -> Vec<Process> {
    let listed = std::fs::read_to_string(file(parent, &format!("task/{parent}/children")));
    let pids: Vec<u32> = match listed {
        Ok(pids) => pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => all(),
    };
    let child = |pid| {
        stat(pid)
            .filter(|stat| stat.parent == parent && !stat.zombie)
            .map(|stat| Process { pid, started: stat.started })
    };
    pids.into_iter().filter_map(child).collect()
}

/// What it has open; nothing where this user may not see that.
pub(super) fn open_files(pid: u32) -> Vec<OpenFile> {
    let entries = fs::read_dir(file(pid, "fd")).into_iter().flatten().flatten();
    let open = entries.filter_map(|entry| fs::metadata(entry.path()).ok());
    let open = open.map(|meta| OpenFile { dev: meta.dev(), inode: meta.ino(), socket: meta.file_type().is_socket() });
    open.collect()
}

/// The inodes of all TCP sockets of this host that listen at one of these ports.
pub(super) fn listening(ports: &BTreeSet<u16>) -> HashSet<u64> {
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default());
    tables.iter().flat_map(|table| parse_listening(table, ports)).collect()
}

/// What names the network namespace that it is in; links that say so need CAP_SYS_PTRACE, and these files are a namespace's own.
pub(super) fn network(pid: u32) -> Option<u64> {
    fs::metadata(file(pid, "net/tcp")).ok().map(|meta| meta.ino())
}

/// Who holds a lock on the file with this inode.
pub(super) fn lock_holder(inode: u64) -> Option<u32> {
    parse_lock_holder(&fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Whether it belongs to a unit of systemd's.
pub(super) fn is_in_unit(pid: u32, unit: &str) -> bool {
    let groups = fs::read_to_string(file(pid, "cgroup")).unwrap_or_default();
    groups.lines().any(|line| line.rsplit_once('/').is_some_and(|(_, last)| last == unit))
}

/// The processes of a unit of systemd's that is where units are by default; none if it does not run, or is elsewhere.
pub(super) fn unit_processes(unit: &str) -> Vec<u32> {
    /// Of the unified hierarchy, and of systemd's own beside the older ones.
    const HIERARCHIES: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];
    let file = |hierarchy| Path::new(hierarchy).join("system.slice").join(unit).join("cgroup.procs");
    let listed = HIERARCHIES.into_iter().find_map(|hierarchy| fs::read_to_string(file(hierarchy)).ok());
    listed.unwrap_or_default().lines().filter_map(|pid| pid.parse().ok()).collect()
}

/// Every process there is.
pub(super) fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// The name is in parentheses and may hold some itself, so the fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let comm = before.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = after.split_whitespace().collect();
    // After the name come fields 3 (state), 4 (parent), …, 22 (start time) of proc(5).
    Some(Stat {
        comm,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        stopped: matches!(*fields.first()?, "T" | "t"),
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn parse_status(text: &str) -> Option<Status> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    // SIGHUP is signal 1, the lowest bit of each mask.
    let has_hup = |name: &str| Some(u64::from_str_radix(field(name)?, 16).ok()? & 1 == 1);
    Some(Status {
        uid: field("Uid")?.split_whitespace().nth(1)?.parse().ok()?,
        catches_hup: has_hup("SigCgt")?,
        blocks_hup: has_hup("SigBlk")?,
        hup_pending: has_hup("SigPnd")? || has_hup("ShdPnd")?,
        nested: field("NSpid").is_some_and(|numbers| numbers.split_whitespace().count() > 1),
    })
}

/// Lines of `proc_locks(5)`: number, class, mode, type, process, DEVICE:INODE, range. Those of who waits begin with `->`.
fn parse_lock_holder(table: &str, inode: u64) -> Option<u32> {
    let holder = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let of: u64 = fields.get(5)?.rsplit_once(':')?.1.parse().ok()?;
        fields.get(4)?.parse().ok().filter(|_| of == inode && fields.get(1) != Some(&"->"))
    };
    table.lines().find_map(holder)
}

/// Lines of `proc_pid_net(5)`: number, local address, remote address, state (0A listens), six more, the inode.
fn parse_listening(table: &str, ports: &BTreeSet<u16>) -> Vec<u64> {
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        let listens = *fields.get(3)? == "0A" && ports.contains(&port);
        fields.get(9)?.parse().ok().filter(|_| listens)
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "812 (ng) inx) S 1 812 812 0 -1 4194624 98 0 0 0 1 2 3 4 20 0 1 0 4711 1000 20";
        let stat = parse_stat(text).unwrap();
        let known = Stat { comm: "ng) inx".to_owned(), zombie: false, stopped: false, parent: 1, started: 4711 };
        assert_eq!(stat, known);
        assert_eq!(parse_stat(&text.replace(") S", ") T")), Some(Stat { stopped: true, ..known }));
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("1 (x) S 1"), None);
    }

    #[test]
    fn sighup_is_read_from_every_mask() {
        let text = "Name:\tnginx\nUid:\t0\t33\t0\t0\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000001\nSigBlk:\t0000000000000002\nSigCgt:\t0000000018016a07\n";
        let status = Status { uid: 33, catches_hup: true, blocks_hup: false, hup_pending: true, nested: false };
        assert_eq!(parse_status(text), Some(status));
        let numbers = |numbers: &str| parse_status(&format!("{text}NSpid:\t{numbers}\n")).unwrap().nested;
        assert!(!numbers("812") && numbers("812\t1"));
    }

    #[test]
    fn a_socket_that_listens_is_known_by_its_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n\
            1: 0100007F:0050 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x\n\
            2: 0100007F:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 x\n";
        assert_eq!(parse_listening(table, &[80].into()), [4711]);
        assert!(parse_listening("", &[80].into()).is_empty());

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let inodes = listening(&[listener.local_addr().unwrap().port()].into());
        let open = open_files(std::process::id());
        assert!(open.iter().any(|file| file.socket && inodes.contains(&file.inode)), "{inodes:?} {open:?}");
    }

    #[test]
    fn a_lock_has_its_holder_and_not_who_waits_for_it() {
        let table = "1: -> FLOCK  ADVISORY  WRITE 813 08:01:4711 0 EOF\n2: FLOCK  ADVISORY  WRITE 812 08:01:4711 0 EOF\n\
            3: POSIX  ADVISORY  READ 814 08:01:4712 0 EOF\n";
        assert_eq!(parse_lock_holder(table, 4711), Some(812));
        assert_eq!(parse_lock_holder(table, 4713), None);
        let file = tempfile::tempfile().unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        assert_eq!(lock_holder(file.metadata().unwrap().ino()), Some(std::process::id()));
    }

    #[test]
    fn this_process_is_found_under_its_parent() {
        let (pid, parent) = (std::process::id(), stat(std::process::id()).unwrap().parent);
        assert!(children(parent).iter().any(|child| child.pid == pid));
        assert_eq!(status(pid).unwrap().uid, rustix::process::geteuid().as_raw());
    }
}
