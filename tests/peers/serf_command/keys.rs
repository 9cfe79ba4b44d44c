//! An encrypted cluster behind a token.

use super::record::{Order, Record};
use super::same_for_all;
use super::stage::{Pair, Stage};

const FIRST: &str = "HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=";
const SECOND: &str = "GB/QDWoxXDcBz38oiyZhI8iCBrxyFHLDnNQCPqBMBvE=";
const TOKEN: &str = "s3cret";

fn cluster(pair: Pair) -> Stage {
    let mut stage = Stage::new(pair, Some(TOKEN));
    let token = stage.file("token.json", &format!("{{\"rpc_auth\": \"{TOKEN}\"}}"));
    for name in ["sec1", "sec2"] {
        let keyring = format!("-keyring-file={}", stage.keyring(name, FIRST));
        stage.start(name, &["-tag=role=sec", &keyring, &format!("-config-file={token}")]);
    }
    stage
}

fn story(pair: Pair) -> Record {
    let mut stage = cluster(pair);
    let key = |flag: &str, key: &str| format!("-{flag}={key}");
    for option in [
        "-list".to_owned(),
        key("install", SECOND),
        key("install", SECOND),
        "-list".to_owned(),
        key("install", "c2hvcnQ="),
        key("install", "no base64"),
        key("use", SECOND),
        key("remove", FIRST),
        "-list".to_owned(),
        key("remove", SECOND),
        key("remove", FIRST),
        key("use", FIRST),
        key("use", ""),
    ] {
        stage.run_settled(Order::Lines, &["keys", &option]);
    }
    stage.run(Order::Lines, &["keys", "-list", &key("use", FIRST)]);
    stage.run(Order::Lines, &["members"]);

    let rpc = "-rpc-addr=@sec1.rpc";
    for command in ["info", "members", "monitor", "reachability"] {
        stage.run_alone(Order::Kept, &[], &[command, rpc]);
    }
    for command in ["event", "force-leave", "join", "query", "rtt"] {
        stage.run_alone(Order::Kept, &[], &[command, rpc, "x"]);
    }
    for rest in [&["keys", rpc, "-list"][..], &["leave", rpc], &["tags", rpc, "-set=a=b"]] {
        stage.run_alone(Order::Kept, &[], rest);
    }
    stage.run_alone(Order::Kept, &[], &["members", rpc, "-rpc-auth=wrong"]);
    stage.run_alone(Order::Kept, &[("SERF_RPC_AUTH", "wrong")], &["members", rpc]);
    stage.run_alone(Order::Lines, &[("SERF_RPC_AUTH", TOKEN)], &["members", rpc]);
    stage.run_alone(Order::Lines, &[("SERF_RPC_AUTH", "wrong")], &["members", rpc, "-rpc-auth=s3cret"]);
    stage.record
}

#[test]
#[ignore = "needs serf"]
fn every_key_command_says_the_same_at_either_agent() {
    same_for_all(story);
}
