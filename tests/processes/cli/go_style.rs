//! Flags in Go's style mean the same as in GNU's, also behind positional arguments.

use weir::rpc::proto::Status;

use super::fake::{Fake, Script, member};
use super::support::{run, weir};

#[test]
fn both_styles_of_flags_do_the_same() {
    let fake = Fake::start(Script {
        members: vec![
            member("lb1", 21, Status::Alive, &[("role", "lb")]),
            member("web1", 22, Status::Failed, &[("role", "web"), ("dc", "a=b")]),
        ],
        ..Script::default()
    });
    let address = format!("unix:{}", fake.socket.display());
    for (go, gnu) in [
        ("members -tag role=web", "members --tag role=web"),
        ("members -tag=role=web -tag dc=a=b", "members --tag=role=web --tag=dc=a=b"),
        ("members -status failed -name=web.*", "members --status=failed --name web.*"),
        ("members -format=json -role web", "members --format json --tag role=web"),
        ("event deploy -coalesce=false", "event --coalesce=false deploy"),
        ("event -coalesce deploy", "event deploy"),
        ("query -no-ack=true -node=lb1 uptime", "query uptime --no-ack --node lb1"),
        ("query -no-ack -no-ack=false uptime", "query uptime"),
    ] {
        let ran = |typed: &str| {
            let mut args: Vec<&str> = typed.split_whitespace().collect();
            args.extend(["-rpc-addr", &address]);
            run(weir(), &args)
        };
        let (go_ran, gnu_ran) = (ran(go), ran(gnu));
        assert_eq!(go_ran.code, Some(0), "{go}: {go_ran:?}");
        assert_eq!(go_ran, gnu_ran, "{go}");
    }
}

#[test]
fn double_dash_ends_flags() {
    let fake = Fake::start(Script::default());
    let address = format!("unix:{}", fake.socket.display());
    let ran = run(weir(), &["event", "--rpc-addr", &address, "--", "-deploy", "-coalesce=false"]);
    assert_eq!(ran.stdout, "Event '-deploy' dispatched! Coalescing enabled: true\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
