//! Where the agent's lines go: a reader that is behind holds up nothing, the journal gets all that belongs to a line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IoSliceMut, Read, Seek};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use tempfile::TempDir;
use weir::rpc::client::{Address, Client};

use crate::support::{Process, address, weir_binary};

/// More lines than a pipe and the agent's queue hold.
const MANY: usize = 1500;
/// How long a stopped agent may take although nobody reads what it writes.
const LONGEST_END: Duration = Duration::from_secs(10);

struct Lab {
    dir: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An agent whose command line is wrapped in a shell's `script`, which runs it as `"$@"`.
    fn start(&self, script: &str, more: &[String]) -> Process {
        let dir = self.dir.path().display();
        let text = format!(
            "node.name = \"a\"\ngossip.bind = \"{}\"\nencryption.seal = \"off\"\nsnapshot.path = \"\"\n\
             rpc.socket = \"{dir}/rpc.sock\"\nleave.on_stop = false\n",
            address()
        );
        std::fs::write(self.path("weir.toml"), text).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(weir_binary()).args(["agent", "--config-file"]);
        command.arg(self.path("weir.toml")).args(more);
        command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        Process::start(command, self.path("log"))
    }

    /// Has the agent log many lines; each answer shows that its loop turns.
    fn flood(&self) {
        let address = Address::Unix(self.path("rpc.sock"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let mut client = loop {
                match Client::connect(&address, None).await {
                    Ok(client) => break client,
                    Err(error) => assert!(start.elapsed() < crate::support::DEADLINE, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            for number in 0..MANY {
                client.tags([("n".to_owned(), number.to_string())].into(), Vec::new()).await.unwrap();
            }
            assert_eq!(client.members(None).await.unwrap().len(), 1);
        });
    }
}

fn stop(agent: &mut Process) {
    let start = Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));
    assert!(start.elapsed() < LONGEST_END, "{:?}", start.elapsed());
}

#[test]
fn a_stalled_terminal_holds_up_nothing_and_what_it_missed_is_counted() {
    let lab = Lab::new();
    nix::unistd::mkfifo(&lab.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Opened for both, so that nobody needs to read.
    let script = format!("exec \"$@\" 2<>{}", lab.path("fifo").display());
    let mut agent = lab.start(&script, &["--log-level=trace".to_owned()]);
    lab.flood();

    let lines = reader(lab.path("fifo"));
    let first = lines.recv().unwrap();
    assert!(first.contains(" INFO  agent: starting version="), "{first}");
    let told = lines.iter().find(|line| line.contains("log lines were dropped")).unwrap();
    assert!(told.contains(" WARN  agent: "), "{told}");
    let dropped: usize = told.rsplit_once(" lines=").unwrap().1.parse().unwrap();
    assert!((1..3 * MANY).contains(&dropped), "{told}");
    stop(&mut agent);
    assert!(lines.iter().any(|line| line.contains("stopping without a leave")), "the last line arrives");
}

/// Reads what is written to a pipe until nobody writes any more.
fn reader(pipe: PathBuf) -> Receiver<String> {
    let (sender, lines) = std::sync::mpsc::channel();
    let read = move || -> std::io::Result<()> {
        for line in BufReader::new(File::open(pipe)?).lines() {
            // The test has heard enough.
            let Ok(()) = sender.send(line?) else { break };
        }
        Ok(())
    };
    std::thread::spawn(read);
    lines
}

#[test]
fn a_terminal_that_stays_stalled_holds_up_no_end() {
    let lab = Lab::new();
    nix::unistd::mkfifo(&lab.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!("exec \"$@\" 2<>{}", lab.path("fifo").display());
    let mut agent = lab.start(&script, &["--log-level=trace".to_owned()]);
    lab.flood();
    stop(&mut agent);
}

#[test]
fn lines_before_an_early_end_are_written_in_order() {
    let lab = Lab::new();
    let mut agent = lab.start("exec \"$@\"", &["--keyring-file=/nowhere".to_owned(), "--seal=auto".to_owned()]);
    assert_ne!(agent.exit_code(), Some(0));
    let log = agent.log();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("agent: starting ") && lines[1].starts_with("error: "), "{log}");
}

#[test]
fn a_part_of_the_program_has_a_level_of_its_own() {
    let lab = Lab::new();
    let mut agent = lab.start("exec \"$@\"", &["--log-level=info,swim=debug".to_owned()]);
    agent.await_log(" ready ");
    stop(&mut agent);
    let log = agent.log();
    let debug: Vec<_> = log.lines().filter(|line| line.contains(" DEBUG ")).collect();
    assert!(!debug.is_empty() && debug.iter().all(|line| line.contains(" DEBUG swim: ")), "{log}");
}

/// A socket where the journal's is, in a mount namespace that the agent gets.
struct Journal {
    socket: UnixDatagram,
    script: String,
}

impl Journal {
    fn new(lab: &Lab) -> Self {
        std::fs::create_dir(lab.path("journal")).unwrap();
        let socket = UnixDatagram::bind(lab.path("journal/socket")).unwrap();
        socket.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        let script = format!(
            "exec unshare -m sh -c 'mount -t tmpfs none /run && mkdir /run/systemd && \
             ln -s {} /run/systemd/journal && exec \"$@\"' sh \"$@\"",
            lab.path("journal").display()
        );
        Self { socket, script }
    }

    /// The next entry: from a datagram, or from a sealed file that comes with an empty one.
    fn next(&self) -> BTreeMap<String, String> {
        let mut bytes = vec![0; 256 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message =
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::empty()).unwrap();
        assert!(!message.flags.contains(ReturnFlags::TRUNC));
        bytes.truncate(message.bytes);
        for passed in control.drain() {
            let RecvAncillaryMessage::ScmRights(mut files) = passed else { continue };
            let mut file = File::from(files.next().unwrap());
            file.rewind().unwrap();
            assert!(file.read_to_end(&mut bytes).unwrap() > 0);
        }
        fields(&bytes)
    }

    fn find(&self, message: &str) -> BTreeMap<String, String> {
        std::iter::repeat_with(|| self.next())
            .find(|entry| entry.get("MESSAGE").is_some_and(|m| m.starts_with(message)))
            .unwrap()
    }
}

/// journald's form: `NAME=value`, or the name, the value's length and the value.
fn fields(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8(bytes[..end].to_vec()).unwrap();
        bytes = &bytes[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            fields.insert(name.to_owned(), value.to_owned());
        } else {
            let (length, rest) = bytes.split_at(8);
            let (value, rest) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
            fields.insert(line, String::from_utf8(value.to_vec()).unwrap());
            bytes = rest.strip_prefix(b"\n").unwrap();
        }
    }
    fields
}

/// Directories of configuration whose names together are longer than a datagram may be.
fn many_files(dir: &Path) -> usize {
    let name = |number: usize| dir.join(format!("{number:04}-{}.toml", "x".repeat(200)));
    std::fs::create_dir(dir).unwrap();
    (0..1400).map(name).map(|path| std::fs::write(&path, "").map(|()| path.as_os_str().len() + 1).unwrap()).sum()
}

#[test]
#[ignore = "needs root"]
fn the_journal_gets_the_fields_in_the_message_and_alone_and_long_lines_whole() {
    let lab = Lab::new();
    let journal = Journal::new(&lab);
    let length = many_files(&lab.path("more"));
    assert!(length > 300_000);
    let more = ["--log-format=journald".to_owned(), format!("--config-dir={}", lab.path("more").display())];
    let mut agent = lab.start(&journal.script, &more);

    let starting = journal.find("starting");
    assert!(starting["WEIR_CONFIG"].len() > length);
    assert_eq!(
        starting["MESSAGE"],
        format!("starting version={} config={}", starting["WEIR_VERSION"], starting["WEIR_CONFIG"])
    );
    let ready = journal.find("ready");
    let wanted = [
        ("MESSAGE", "ready members=0 from_snapshot=0"),
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "weir"),
        ("WEIR_PART", "agent"),
        ("WEIR_MEMBERS", "0"),
        ("WEIR_FROM_SNAPSHOT", "0"),
    ];
    for (name, value) in wanted {
        assert_eq!(ready.get(name).map(String::as_str), Some(value), "{name} of {ready:?}");
    }
    stop(&mut agent);
    assert_eq!(journal.find("stopping without a leave")["WEIR_SIGNAL"], "terminated");
    assert_eq!(agent.log(), "", "nothing on standard error");
}

#[test]
#[ignore = "needs root"]
fn a_stuck_journal_holds_up_nothing() {
    let lab = Lab::new();
    let journal = Journal::new(&lab);
    let mut agent = lab.start(&journal.script, &["--log-format=journald".to_owned(), "--log-level=trace".to_owned()]);
    lab.flood();
    stop(&mut agent);
}
