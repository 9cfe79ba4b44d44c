//! What stands in tags, before the real NGINX.

use std::process::Command;

use crate::hostile_tags::{file, members};
use crate::nginx::Nginx;

#[test]
#[ignore = "needs nginx"]
fn hostile_tags_leave_nginx_a_configuration_that_it_reads_as_it_is_meant() {
    let nginx = Nginx::stopped();
    let (_, text) = file(&members());
    std::fs::write(nginx.web(), &text).unwrap();
    let output = Command::new("nginx")
        .arg("-T")
        .arg("-c")
        .arg(nginx.config())
        .arg("-e")
        .arg(nginx.path("error.log"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}\n{text}");
    let read = String::from_utf8_lossy(&output.stdout);
    for evil in ["6.6.6.6", "6666", "docker.sock", "autoindex", "shadow", "0.0.0.0", "resolve"] {
        assert!(!read.contains(evil), "{evil}: {read}");
    }
    let count = |word: &str| read.lines().filter(|line| line.trim_start().starts_with(word)).count();
    assert_eq!((count("upstream "), count("server {"), count("include ")), (1, 1, 1));
}
