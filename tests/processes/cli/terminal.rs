//! What a terminal gets that knows no escape sequences: `TERM=dumb` (`ux §2.1`).

use std::io::Read as _;
use std::process::{Command, Stdio};

use weir::rpc::proto::Status;

use super::fake::{Fake, Script, member};
use super::support::{clean, weir};

/// What `weir ARGS` writes to a terminal of this kind, as far as `enough` of it: some views are endless.
fn shown(fake: &Fake, args: &str, term: &str, enough: &str) -> String {
    // It gives what it runs a terminal.
    let mut command = clean(Command::new("script"));
    command.args(["-q", "-c", &format!("{} {args}", weir().get_program().display()), "/dev/null"]);
    command.env("TERM", term).env("WEIR_RPC_ADDR", &fake.socket);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux has it");
    let mut terminal = child.stdout.take().expect("it is piped");
    let (mut seen, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = terminal.read(&mut part).expect("it can be read");
        seen.extend_from_slice(&part[..count]);
        if count == 0 || String::from_utf8_lossy(&seen).contains(enough) {
            break;
        }
    }
    child.kill().and_then(|()| child.wait()).expect("it is ours");
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert!(text.contains(enough), "{args}: {text:?}");
    text
}

#[test]
fn a_dumb_terminal_gets_neither_colours_nor_movements_of_the_cursor() {
    let fake = Fake::start(Script { members: vec![member("web2", 23, Status::Alive, &[])], ..Script::default() });
    for (args, enough, sequence) in [
        ("members", "alive", "\x1b[32m"),
        ("members --watch", "alive", "\x1b[H\x1b[2J"),
        ("sim --nodes 3 --for 15s", "of streams, besides", "\r\x1b[K"),
    ] {
        let moving = shown(&fake, args, "xterm", enough);
        assert!(moving.contains(sequence), "{args}: {moving:?}");
        // A terminal ends its lines with both.
        let plain = shown(&fake, args, "dumb", enough).replace("\r\n", "\n");
        assert!(!plain.contains(['\x1b', '\r', '\x08']), "{args}: {plain:?}");
    }
}
