//! Where the server listens, and where it refuses to.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::sync::{mpsc, watch};
use weir::error::Explain as _;
use weir::rpc::server::{ListenError, Options, Server, Token};

fn at(path: &Path) -> Options {
    Options { socket: Some(path.to_owned()), ..Options::default() }
}

#[tokio::test]
async fn socket_is_for_owner_and_group_and_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rpc.sock");
    let server = Server::bind(at(&path)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
    assert_eq!(server.socket_path(), Some(&*path));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    let (calls, _agent) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(server.run(calls, stopped));
    stop.send_replace(true);
    running.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn live_socket_is_left_alone_and_a_stale_one_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rpc.sock");
    let first = Server::bind(at(&path)).unwrap();
    let error = Server::bind(at(&path)).unwrap_err();
    let wanted = format!("{} is in use by another agent; stop that one, or set another rpc.socket", path.display());
    assert_eq!(error.sentence(), wanted);
    tokio::net::UnixStream::connect(&path).await.expect("the first one still listens");
    drop(first);

    // What a killed agent leaves: a file that nobody listens behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _second = Server::bind(at(&path)).unwrap();
    tokio::net::UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn socket_of_a_successor_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rpc.sock");
    let first = Server::bind(at(&path)).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _second = Server::bind(at(&path)).unwrap();
    drop(first);
    tokio::net::UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn wrong_places_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "mine").unwrap();
    let missing = dir.path().join("no/such/rpc.sock");
    let bind = |options| Server::bind(options).unwrap_err();

    let error = bind(at(&file));
    assert!(matches!(error, ListenError::NotASocket { .. }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let error = bind(at(&missing));
    let directory = dir.path().join("no/such");
    let text = format!(
        "cannot listen on {}: no directory {1}; 'install -d -m 0750 {1}', or set rpc.socket",
        missing.display(),
        directory.display()
    );
    assert_eq!(error.sentence(), text);
    let socket = dir.path().join("rpc.sock");
    let error = bind(Options { group: Some("no-such-group".to_owned()), ..at(&socket) });
    assert_eq!(error.sentence(), "no group 'no-such-group' for the RPC socket; create it, or set rpc.group");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left listening");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let error = bind(Options { listen: Some(addr), ..Options::default() });
    assert_eq!(error.to_string(), format!("cannot listen on {addr}/tcp for RPC"));
}

#[tokio::test]
async fn off_loopback_a_token_is_required() {
    let listen = |addr: &str, token: Option<&str>| {
        let token = token.and_then(|token| Token::new(token.as_bytes()));
        Server::bind(Options { listen: Some(addr.parse().unwrap()), token, ..Options::default() }).map(drop)
    };
    assert!(matches!(listen("0.0.0.0:0", None), Err(ListenError::TokenRequired { .. })));
    assert!(matches!(listen("[::]:0", None), Err(ListenError::TokenRequired { .. })));
    assert!(matches!(listen("0.0.0.0:0", Some("")), Err(ListenError::TokenRequired { .. })));
    listen("127.0.0.2:0", None).unwrap();
    listen("127.0.0.1:0", Some("x")).unwrap();
}
