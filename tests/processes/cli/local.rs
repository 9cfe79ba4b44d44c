//! Commands that need no agent.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::support::{clean, piped, run, weir};
use crate::support::without_file_rights;

#[test]
fn version_key_and_example_are_printed() {
    let version = run(weir(), &["version"]);
    assert_eq!(
        version.stdout,
        format!("weir {}\nAgent Protocol: 5 (Understands back to: 2)\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(run(weir(), &["-v"]).code, Some(0));
    let key: serde_json::Value =
        serde_json::from_str(&run(weir(), &["keygen", "--format", "json"]).stdout).expect("JSON");
    assert_eq!(key["key"].as_str().map(str::len), Some(44));
    assert_eq!(key["id"].as_str().map(str::len), Some(8));
    assert!(run(weir(), &["config", "example"]).stdout.contains("[gossip]"));
    let schema: serde_json::Value = serde_json::from_str(&run(weir(), &["config", "schema"]).stdout).expect("JSON");
    assert!(schema["$schema"].is_string());
}

#[test]
fn an_answer_that_cannot_be_written_is_told_and_a_reader_that_went_away_is_not() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let ran = weir().arg("version").stdout(full).output().expect("the program was built");
    let told = String::from_utf8(ran.stderr).expect("text");
    let expected = "error: cannot write to standard output: no space left on device\n";
    assert_eq!((told.as_str(), ran.status.code()), (expected, Some(1)));

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ran = weir().arg("version").stdout(writer).output().expect("the program was built");
    assert_eq!((ran.stderr.as_slice(), ran.status.code()), (&b""[..], Some(0)));
}

#[test]
fn a_configuration_that_may_not_be_read_is_code_4() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weir.toml");
    std::fs::write(&file, "").expect("the directory is ours");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("it is ours");
    let path = file.display().to_string();
    for args in
        [&["config", "check", &path][..], &["config", "show", &path], &["agent", "--check", "--config-file", &path]]
    {
        let ran = run(clean(without_file_rights(&weir())), args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""), "{ran:?}");
        assert_eq!(ran.stderr, format!("error: not permitted to read {path}; use sudo\n"));
    }
    // The agent's own code is the one with which its unit gives up.
    let ran = run(clean(without_file_rights(&weir())), &["agent", "--config-file", &path]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.stderr.contains(&format!("'chgrp weir {path}' and 'chmod 640 {path}'")), "{ran:?}");
}

#[test]
fn a_file_that_may_not_be_read_or_written_is_code_4_and_one_that_is_missing_code_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let closed = dir.path().join("closed");
    let path = |name: &str| closed.join(name).display().to_string();
    std::fs::create_dir(&closed).expect("the directory is ours");
    std::fs::write(closed.join("file.json"), "{}").expect("the directory is ours");
    let (file, none) = (path("file.json"), path("none"));
    let reading = [
        &["event", "deploy", "--payload-file"][..],
        &["keys", "install", "--file"],
        &["keys", "import", "--file"],
        &["members", "--rpc-addr", "127.0.0.1:1", "--rpc-token-file"],
        &["config", "convert"],
    ];
    for args in reading {
        let ran = run(weir(), &[args, &[&none]].concat());
        let told = format!("error: cannot read {none}: no such file or directory; correct the path\n");
        assert_eq!((ran.stderr.as_str(), ran.code), (told.as_str(), Some(1)), "{args:?}");
    }
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("it is ours");
    let denied = |args: &[&str]| run(clean(without_file_rights(&weir())), args);
    for args in reading {
        let ran = denied(&[args, &[&file]].concat());
        let told = format!("error: cannot read {file}: permission denied; use sudo\n");
        assert_eq!((ran.stderr.as_str(), ran.code), (told.as_str(), Some(4)), "{args:?}");
    }
    let (picture, page) = (path("out.svg"), path("weir.1"));
    let sim = ["sim", "--nodes", "2", "--kill", "0", "--for", "15s", "--plot", &picture];
    for (args, at) in [(&sim[..], &picture), (&["man", "--dir", &path("")], &page)] {
        let ran = denied(args);
        let told = format!("error: cannot write {at}: permission denied; use sudo\n");
        assert_eq!((ran.stderr.as_str(), ran.code), (told.as_str(), Some(4)), "{args:?}");
    }
    // The configuration of a command that is not about it.
    for args in [&["keys", "export", "--config-file"][..], &["keys", "import", "--file", "-", "--config-file"]] {
        let command = clean(without_file_rights(&weir()));
        let key = "HB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs=";
        let ran = piped(command, &[args, &[&file]].concat(), key);
        let told = format!("error: not permitted to read {file}; use sudo\n");
        assert_eq!((ran.stderr.as_str(), ran.code), (told.as_str(), Some(4)), "{args:?}");
    }
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
}

#[test]
fn configuration_mistakes_are_lines_and_an_error_with_code_5() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weir.toml");
    std::fs::write(&file, "[log]\nlevle = \"info\"\n").expect("the directory is ours");
    let path = file.display().to_string();
    let ran = run(weir(), &["config", "check", &path]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(5), ""));
    assert!(
        ran.stderr.starts_with(&format!("{path}:2:1: unknown key 'log.levle'; did you mean 'level'?\n")),
        "{ran:?}"
    );
    assert!(ran.stderr.ends_with("error: 1 mistake in 1 file\n"), "{ran:?}");
    let ran = run(weir(), &["config", "check", "--config-file", &path, "--format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(answer["mistakes"][0]["key"], "log.levle");
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!(error["error"]["exit_code"], 5);

    std::fs::write(&file, "[log]\nlevel = \"debug\"\n").expect("the directory is ours");
    let ran = run(weir(), &["config", "show", "--changed", "--origin", &path]);
    assert_eq!(ran.stdout, format!("[log]\nlevel = \"debug\"  # {path}:2\n"), "{ran:?}");
}

#[test]
fn serf_json_converts() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("serf.json");
    std::fs::write(&file, r#"{"node_name": "n1", "tags": {"role": "web"}}"#).expect("the directory is ours");
    let ran = run(weir(), &["config", "convert", &file.display().to_string()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("name = \"n1\""), "{ran:?}");
}

/// What packages ship, as it has to be in the tree.
fn shipped() -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let ran = run(weir(), &["man", "--dir", &dir.path().display().to_string()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let mut files = read(dir.path(), "man");
    for shell in ["bash", "zsh", "fish"] {
        files.insert(format!("completions/weir.{shell}"), run(weir(), &["completions", shell]).stdout);
    }
    files
}

fn read(dir: &Path, below: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(dir).map(|entries| entries.map(|entry| entry.expect("it can be read").path()));
    let text = |path: &Path| std::fs::read_to_string(path).expect("it can be read");
    let name = |path: &Path| format!("{below}/{}", path.file_name().expect("a file").display());
    entries.into_iter().flatten().map(|path| (name(&path), text(&path))).collect()
}

#[test]
fn manual_pages_and_completions_in_the_tree_are_current() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let dirs = ["man", "completions"];
    if std::env::var_os("WEIR_BLESS").is_some() {
        for dir in dirs {
            let _not_there_yet = std::fs::remove_dir_all(packaging.join(dir));
            std::fs::create_dir_all(packaging.join(dir)).expect("the tree is writable");
        }
        for (name, text) in shipped() {
            std::fs::write(packaging.join(name), text).expect("the tree is writable");
        }
    }
    let kept: BTreeMap<_, _> = dirs.iter().flat_map(|dir| read(&packaging.join(dir), dir)).collect();
    let current = shipped();
    for name in ["completions/weir.bash", "completions/weir.zsh", "completions/weir.fish", "man/weir.1"] {
        assert!(current[name].contains("force") && current[name].contains("reachability"), "{name}");
    }
    let names = kept.keys().chain(current.keys()).collect::<BTreeSet<_>>();
    let stale: Vec<_> = names.into_iter().filter(|name| kept.get(*name) != current.get(*name)).collect();
    assert!(stale.is_empty(), "'make generate' writes them again: {stale:?}");
}

#[test]
fn a_simulation_is_a_table_json_and_a_picture_and_the_same_again_for_the_same_seed() {
    let dir = tempfile::tempdir().expect("a directory");
    let picture = dir.path().join("out.svg").display().to_string();
    let args =
        ["sim", "--nodes", "40", "--profile", "lan", "--loss", "5%", "--kill", "2", "--seed", "7", "--for", "40s"];
    let table = run(weir(), &[&args[..], &["--plot", &picture]].concat());
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""), "{table:?}");
    for line in [
        "newcomer known by all after",
        "first death known after",
        "all deaths known by all after",
        "living members held failed",
        "packets per node and second",
        "bytes per node and second",
    ] {
        assert!(table.stdout.lines().any(|shown| shown.starts_with(line)), "{line}: {table:?}");
    }
    assert_eq!(run(weir(), &args), table);
    assert!(std::fs::read_to_string(&picture).expect("it was drawn").starts_with("<svg"));

    let json = run(weir(), &[&args[..], &["--format", "json"]].concat());
    let report: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&report["nodes"], &report["killed"]), (&40.into(), &2.into()));
    let times = ["join_known_by_all_s", "first_detection_s", "last_detection_s"].map(|key| report[key].as_f64());
    assert!(matches!(times, [Some(join), Some(first), Some(last)] if join > 0.0 && first <= last), "{report}");
    assert_eq!(report["timeline"].as_array().map(Vec::len), Some(40));

    let refused = run(weir(), &["sim", "--nodes", "3", "--kill", "3"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("somebody has to survive"), "{refused:?}");
}
