#![expect(clippy::disallowed_methods, reason = "the sockets are what is looked at")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

fn connected(listen: &str, connect: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(listen).unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect((connect, port)).unwrap();
    (client, listener.accept().unwrap().0)
}

fn listed(filter: &Filter<'_>) -> Vec<TcpSocket> {
    let mut sockets = Vec::new();
    SockDiag::open().unwrap().list(filter, |socket| sockets.push(socket)).unwrap();
    sockets
}

fn towards(remote: SocketAddr) -> Filter<'static> {
    Filter { states: &[TcpState::Established, TcpState::SynSent], local_port: None, remote: Some(remote) }
}

#[test]
fn a_socket_is_found_by_where_it_leads_to() {
    for (listen, connect) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let (client, _server) = connected(listen, connect);
        let sockets = listed(&towards(client.peer_addr().unwrap()));
        assert_eq!(sockets.len(), 1, "{sockets:?}");
        let socket = &sockets[0];
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        assert_eq!((socket.local, socket.remote), ends);
        assert_eq!((socket.state, socket.send_queue), (TcpState::Established, 0));
        assert_eq!(socket.uid, rustix::process::geteuid().as_raw());
        assert_eq!(socket.cookie(), listed(&towards(ends.1))[0].cookie());
        drop(client);
        assert!(listed(&towards(ends.1)).is_empty(), "it is in another state now");
    }
}

#[test]
fn a_socket_is_found_by_its_own_port_and_one_for_ipv6_by_its_ipv4_address() {
    let (mut client, mut server) = connected("[::]:0", "127.0.0.1");
    let port = server.local_addr().unwrap().port();
    let filter = Filter { states: &[TcpState::Established], local_port: Some(port), remote: None };
    let sockets = listed(&filter);
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    assert_eq!((sockets[0].local, sockets[0].remote), (client.peer_addr().unwrap(), client.local_addr().unwrap()));
    assert_eq!(listed(&towards(client.local_addr().unwrap())).len(), 1);

    client.write_all(b"ask").unwrap();
    server.read_exact(&mut [0; 3]).unwrap();
    let activity = listed(&filter)[0].activity.unwrap();
    assert!(activity.received_ago < Duration::from_secs(60) && activity.sent_ago >= activity.received_ago);
}

#[test]
fn what_was_not_read_yet_and_who_waits_for_a_listener_is_told() {
    let (mut client, server) = connected("127.0.0.1:0", "127.0.0.1");
    client.write_all(b"ask").unwrap();
    let port = server.local_addr().unwrap().port();
    let filter = Filter { states: &[TcpState::Established], local_port: Some(port), remote: None };
    assert_eq!(listed(&filter)[0].recv_queue, 3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let filter = Filter { states: &[TcpState::Listen], local_port: Some(port), remote: None };
    assert_eq!(listed(&filter)[0].state, TcpState::Listen);
}

#[test]
fn what_the_kernel_says_no_with_is_told_apart() {
    for (number, expected) in [
        (EOPNOTSUPP, "this kernel cannot do that with sockets"),
        (EINVAL, "this kernel cannot do that with sockets"),
        (EPERM, "not permitted to do that with sockets"),
        (EAFNOSUPPORT, "not permitted to do that with sockets"),
        (ENOENT, "the kernel says nothing of use about sockets"),
    ] {
        assert_eq!(SockDiagError::of(io::Error::from_raw_os_error(number)).to_string(), expected, "{number}");
    }
}

#[test]
fn whether_the_kernel_can_end_sockets_is_known_without_any_right() {
    let (client, _server) = connected("127.0.0.1:0", "127.0.0.1");
    let mut diag = SockDiag::open().unwrap();
    let can = diag.can_destroy().unwrap();
    let socket = listed(&towards(client.peer_addr().unwrap())).pop().unwrap();
    assert_eq!(can, !matches!(diag.destroy(&socket), Err(SockDiagError::Unsupported)));
}

#[test]
#[ignore = "needs root"]
fn a_socket_is_ended_once_and_no_other_one_is() {
    let (mut client, _server) = connected("127.0.0.1:0", "127.0.0.1");
    let (mut other, mut others_server) = connected("127.0.0.1:0", "127.0.0.1");
    let socket = listed(&towards(client.peer_addr().unwrap())).pop().unwrap();
    let mut diag = SockDiag::open().unwrap();
    assert_eq!(diag.destroy(&socket).unwrap(), Destroyed::Asked);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert!(listed(&towards(socket.remote)).is_empty());
    assert_eq!(diag.destroy(&socket).unwrap(), Destroyed::Gone);
    others_server.write_all(b"!").unwrap();
    other.read_exact(&mut [0]).unwrap();
}
