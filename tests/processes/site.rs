//! The site that is shipped, `etc/site.conf`, in a real NGINX.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use crate::nginx::{Nginx, backend};
use crate::support::address;

/// As shipped, on an address of the test's own.
fn site(nginx: &Nginx) -> String {
    let text = std::fs::read_to_string("etc/site.conf").unwrap();
    assert!(text.contains("listen 80;") && text.contains("server_name shop.example;"), "{text}");
    text.replace("listen 80;", &format!("listen {};", nginx.listen))
}

fn tested(nginx: &Nginx) -> Output {
    let mut command = Command::new("nginx");
    command.arg("-t").arg("-q").arg("-c").arg(nginx.config()).arg("-e").arg(nginx.path("error.log"));
    command.output().unwrap()
}

fn status(nginx: &Nginx, request: &str) -> String {
    let mut stream = TcpStream::connect(nginx.listen).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

#[test]
#[ignore = "needs nginx"]
fn the_shipped_site_passes_nginx_without_a_word_and_asks_one_other_server() {
    let mut nginx = Nginx::stopped();
    let (good, gone) = (backend("good"), [address(), address()]);
    let servers = |servers: &[std::net::SocketAddr]| {
        let lines: String = servers.iter().map(|server| format!("server {server};")).collect();
        std::fs::write(nginx.web(), format!("upstream web {{ zone web 64k; {lines} keepalive 32; }}\n")).unwrap();
    };
    servers(&[good, gone[0]]);
    std::fs::write(nginx.path("conf.d/shop.conf"), site(&nginx)).unwrap();
    let output = tested(&nginx);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");

    // Those that know it take the line that is a comment for the others.
    let newest = site(&nginx).replace("#keepalive_min_timeout", "keepalive_min_timeout");
    std::fs::write(nginx.path("conf.d/shop.conf"), newest).unwrap();
    let output = tested(&nginx);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || said.contains("unknown directive \"keepalive_min_timeout\""), "{said}");
    std::fs::write(nginx.path("conf.d/shop.conf"), site(&nginx)).unwrap();

    let get = "GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n";
    nginx.run();
    for _ in 0..20 {
        assert_eq!(status(&nginx, get), "200", "{}", nginx.log());
    }
    assert!(nginx.log().contains("connect() failed"), "the dead one was asked: {}", nginx.log());
}
