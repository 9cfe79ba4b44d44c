//! The real command line, from the Debian package.

use std::process::Output;

use weir::rpc::proto::text;

use super::stage::{Stage, TOKEN, user};

async fn serf(stage: &Stage, arguments: &[&str]) -> (String, Option<i32>) {
    let (command, rest) = arguments.split_first().unwrap();
    let address = format!("-rpc-addr={}", stage.tcp);
    let output: Output = tokio::process::Command::new("serf")
        .arg(command)
        .arg(address)
        .args(rest)
        .output()
        .await
        .expect("serf is installed");
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[tokio::test]
#[ignore = "needs serf"]
async fn real_command_line_does_everything_against_our_server() {
    let stage = Stage::open();
    let key = "HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=";
    let install = format!("-install={key}");
    let used = format!("-use={key}");
    let rows: &[(&[&str], &str, i32)] = &[
        (&["members"], "lb1   127.0.0.21:7946  alive  role=lb\nweb1  127.0.0.22:7946  alive  role=web\n", 0),
        (&["members", "-tag", "role=web"], "web1  127.0.0.22:7946  alive  role=web\n", 0),
        (&["members", "-status", "failed|alive", "-name", "lb.*"], "lb1  127.0.0.21:7946  alive  role=lb\n", 0),
        (&["members", "-name", "nobody"], "\n", 0),
        (&["info"], "agent:\n\tname = lb1\ntags:\n", 0),
        (&["join", "127.0.0.22"], "Successfully joined cluster by contacting 1 nodes.\n", 0),
        (
            &["join", "127.0.0.29"],
            "Error joining the cluster: 1 error occurred:\n\t* Failed to join 127.0.0.29: dial tcp 127.0.0.29:7946: connect: connection refused\n\n\n",
            1,
        ),
        (&["event", "deploy", "v1"], "Event 'deploy' dispatched! Coalescing enabled: true\n", 0),
        (&["force-leave", "nobody"], "", 0),
        (
            &["query", "uptime"],
            "Query 'uptime' dispatched\nAck from 'lb1'\nAck from 'web1'\nResponse from 'web1': up\nTotal Acks: 2\nTotal Responses: 1\n",
            0,
        ),
        (&["query", "_serf_x"], "Error sending query: Queries cannot contain the '_serf_' prefix\n", 1),
        (
            &["reachability"],
            "Total members: 2, live members: 2\nStarting reachability test...\nSuccessfully contacted all live nodes\n",
            0,
        ),
        (&["tags", "-set", "a=b", "-delete", "zz"], "Successfully updated agent tags\n", 0),
        (&["rtt", "lb1", "web1"], "Estimated lb1 <-> web1 rtt: 1.020 ms\n", 0),
        (&["rtt", "nope"], "Could not find a coordinate for node \"nope\"\n", 1),
        (
            &["keys", "-list"],
            "==> Asking all members for installed keys...\n==> Keys gathered, listing cluster keys...\n\nHvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=  [2/2]\n",
            0,
        ),
        (&["keys", &install], "==> Installing key on all members...\n==> Successfully installed key!\n", 0),
        (
            &["keys", &used],
            "==> Changing primary key on all members...\nfailed:  lb1   Requested key is not in the keyring\nfailed:  web1  Requested key is not in the keyring\n\nError changing primary key: 2/2 nodes reported failure\n",
            1,
        ),
        (
            &["keys", "-install=zzz!"],
            "==> Installing key on all members...\n\nError installing key: illegal base64 data at input byte 3\n",
            1,
        ),
        (&["leave"], "Graceful leave complete\n", 0),
    ];
    for (arguments, stdout, code) in rows {
        let (printed, exit) = serf(&stage, arguments).await;
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::trim_end).map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!((sorted(&printed), exit), (sorted(stdout), Some(*code)), "serf {arguments:?} printed {printed}");
    }
}

#[tokio::test]
#[ignore = "needs serf"]
async fn real_command_line_is_told_about_tokens() {
    let stage = Stage::with_token();
    let (printed, code) = serf(&stage, &["members"]).await;
    assert_eq!((printed, code), (format!("Error retrieving members: {}\n", text::AUTH_REQUIRED), Some(1)));
    let (printed, code) = serf(&stage, &["members", "-rpc-auth=wrong"]).await;
    assert_eq!((printed, code), (format!("Error connecting to Serf agent: {}\n", text::INVALID_TOKEN), Some(1)));
    let token = format!("-rpc-auth={TOKEN}");
    assert_eq!(serf(&stage, &["event", &token, "x"]).await.1, Some(0));
}

#[tokio::test]
#[ignore = "needs serf"]
async fn real_monitor_shows_events_and_log_until_the_agent_ends() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let stage = Stage::open();
    let mut monitor = tokio::process::Command::new("serf")
        .args(["monitor", &format!("-rpc-addr={}", stage.tcp)])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("serf is installed");
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("old [INFO] agent: two"));
    stage.publish(vec![user(7, "deploy")]).await;
    let mut shown = Vec::new();
    while shown.len() < 6 {
        let line = lines.next_line().await.unwrap().unwrap();
        shown.push(line.trim().to_owned());
    }
    shown.sort_unstable();
    assert!(shown.contains(&"Event Info:".to_owned()) && shown.contains(&"LTime: 7".to_owned()), "{shown:?}");
    assert!(shown.contains(&"Name: \"deploy\"".to_owned()), "{shown:?}");
    stage.stop.send_replace(true);
    let status = monitor.wait().await.unwrap();
    assert_eq!(status.code(), Some(1));
}
