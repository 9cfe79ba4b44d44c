//! Every method of our client, and what it says when there is no agent.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir::rpc::client::{Address, Client, ClientError, Record};
use weir::rpc::proto::{Body, MembersQuery, QueryRecord, Response, ResponseHeader};
use weir::rpc::weir::Request;
use weir::serf::QueryParams;
use weir::status::probe::Probe;
use weir::wire::serf::Tags;

use super::stage::{JOIN_ERROR, Stage, TOKEN, member, query};

/// A command of a client that is newer than its agent.
#[derive(serde::Deserialize, serde::Serialize)]
struct Unheard {}

impl Request for Unheard {
    const NAME: &'static str = "weir-unheard";
    type Answer = Unheard;
}

#[tokio::test]
async fn every_command_is_asked_and_answered() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    assert_eq!(client.members(None).await.unwrap(), [member("lb1"), member("web1")]);
    let web = MembersQuery { tags: Tags::from([("role".to_owned(), "web".to_owned())]), ..Default::default() };
    assert_eq!(client.members(Some(web)).await.unwrap(), [member("web1")]);
    assert_eq!(client.join(vec!["127.0.0.22".to_owned(), "127.0.0.29".to_owned()], false).await.unwrap(), 1);
    assert_eq!(client.join(vec!["127.0.0.29".to_owned()], true).await.unwrap_err().to_string(), JOIN_ERROR);
    client.event("deploy", Bytes::from_static(b"v1"), true).await.unwrap();
    client.force_leave("nobody", true).await.unwrap();
    let pruned_alive = client.force_leave("web1", true).await.unwrap_err();
    assert_eq!(pruned_alive.to_string(), "web1 is alive and cannot be pruned");
    let tags = Tags::from([("a".to_owned(), "b".to_owned())]);
    client.tags(tags.clone(), vec!["zz".to_owned()]).await.unwrap();
    let stats = client.stats().await.unwrap();
    let agent = BTreeMap::from([("name".to_owned(), "lb1".to_owned())]);
    let wanted = BTreeMap::from([("agent".to_owned(), agent), ("tags".to_owned(), tags)]);
    assert_eq!(stats, wanted, "no group of the server's while nobody misbehaves");
    assert_eq!(client.coordinate("lb1").await.unwrap().unwrap().vec.len(), 8);
    assert_eq!(client.coordinate("nope").await.unwrap(), None);
    let (listed, error) = client.list_keys().await.unwrap();
    assert!(error.is_none() && listed.keys.unwrap().len() == 1);
    let key = "HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=";
    let (installed, error) = client.install_key(key).await.unwrap();
    assert!(error.is_none() && installed.responses == 2 && installed.keys.is_none());
    for (response, error) in [client.use_key(key).await.unwrap(), client.remove_key(key).await.unwrap()] {
        assert_eq!(error.unwrap().to_string(), "2/2 nodes reported failure");
        assert_eq!(response.messages["web1"], "Requested key is not in the keyring");
    }
    client.stream("query").await.unwrap();
    stage.publish(vec![query(3, "up", std::time::Duration::from_secs(9))]).await;
    client.next().await.unwrap();
    client.respond(1, Bytes::from_static(b"yes")).await.unwrap();
    let probed = client.weir(&Probe { members: vec!["web1".to_owned()] }).await.unwrap();
    assert_eq!(probed.silent, ["web1"]);
    assert!(matches!(client.weir(&Unheard {}).await, Err(ClientError::Unsupported)));
    client.leave().await.unwrap();
    assert!(matches!(client.members(None).await, Err(ClientError::Closed)));
}

#[tokio::test]
async fn answer_given_up_does_not_confuse_the_next() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    // Polled once, which sends the request, and dropped.
    {
        let members = std::pin::pin!(client.members(None));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(members.poll(&mut context).is_pending());
    }
    client.stats().await.unwrap();
    assert_eq!(client.members(None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn token_is_asked_for_and_judged() {
    let stage = Stage::with_token();
    let address = Address::Tcp(stage.tcp.clone());
    let mut client = Client::connect(&address, Some(TOKEN)).await.unwrap();
    assert_eq!(client.members(None).await.unwrap().len(), 2);

    let wrong = Client::connect(&address, Some("wrong")).await.unwrap_err();
    assert!(matches!(wrong, ClientError::TokenRefused) && wrong.is_forbidden());
    assert_eq!(wrong.serf_text(), "Invalid authentication token");
    let mut without = Client::connect(&address, None).await.unwrap();
    for _ in 0..2 {
        let missing = without.members(None).await.unwrap_err();
        assert!(matches!(missing, ClientError::TokenRequired) && missing.is_forbidden());
        assert_eq!(missing.serf_text(), "Authentication required");
    }
    let open = Stage::open();
    let needless = Client::connect(&Address::Tcp(open.tcp.clone()), Some("any")).await.unwrap_err();
    assert_eq!(needless.serf_text(), "Invalid authentication token", "as Serf does");
}

#[tokio::test]
async fn absence_of_an_agent_is_said_in_both_tongues() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rpc.sock");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rows = [
        (
            path.display().to_string(),
            format!("cannot reach an agent at {}", path.display()),
            format!("dial unix {}: connect: no such file or directory", path.display()),
        ),
        (
            free.to_string(),
            format!("cannot reach an agent at {free}"),
            format!("dial tcp {free}: connect: connection refused"),
        ),
        (
            "nonsense".to_owned(),
            "RPC address 'nonsense' has no port; write HOST:PORT or unix:PATH".to_owned(),
            "dial tcp: address nonsense: missing port in address".to_owned(),
        ),
    ];
    for (address, ours, serfs) in rows {
        let error = Client::connect(&address.parse().unwrap(), None).await.unwrap_err();
        assert_eq!((error.to_string(), error.serf_text()), (ours, serfs));
        assert!(error.is_unreachable() && !error.is_forbidden());
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_else_at_the_address_is_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rpc.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let address = Address::Unix(path);
    let error = Client::connect(&address, None).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{address} does not answer; is it an agent's RPC address?"));
    tokio::spawn(async move {
        listener.accept().await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
        // Held open.
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 100]).await;
    });
    let error = Client::connect(&address, None).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol), "{error:?}");
}

#[tokio::test]
async fn answers_of_nobody_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rpc.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let from = |from: &str| QueryRecord::Ack { from: from.to_owned() };
    let nobody = QueryRecord::Response { from: String::new(), payload: Bytes::new() };
    let answers = [from("web1"), from(""), nobody, from("web2"), QueryRecord::Done];
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Numbers 1 and 2: the handshake and the query. Whatever they say, they are short.
        for seq in [1, 2] {
            tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1000]).await.unwrap();
            let header = ResponseHeader { seq, ..ResponseHeader::default() };
            let reply = Response { header, body: Body::Empty }.encode();
            tokio::io::AsyncWriteExt::write_all(&mut stream, &reply).await.unwrap();
        }
        for answer in answers {
            tokio::io::AsyncWriteExt::write_all(&mut stream, &answer.encode(2)).await.unwrap();
        }
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 100]).await;
    });
    let mut client = Client::connect(&Address::Unix(path), None).await.unwrap();
    client.query(QueryParams::default()).await.unwrap();
    for expected in [from("web1"), from("web2"), QueryRecord::Done] {
        assert_eq!(client.next().await.unwrap().record, Record::Answer(expected));
    }
}
