//! `[upstream.NAME.probe]`: how a balancer asks the servers of an upstream itself.

use std::time::Duration;

use serde_json::json;

use crate::config::duration;
use crate::config::reader::Section;
use crate::config::service::{Http, Keys, ProxyText, Service, Target, Tcp, read_expression, refuse};
use crate::error::Trouble;

/// How servers are probed.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What is asked; redirects are not followed, since they may lead to another server.
    pub service: Service,
    /// `None`: each server's own.
    pub port: Option<u16>,
    /// From the beginning of one probe to that of the next.
    pub interval: Duration,
    /// Longest probe; at most `interval`.
    pub timeout: Duration,
    /// Successes in a row after which a server that was down is up.
    pub rise: u32,
    /// Failures in a row after which it is down.
    pub fall: u32,
}

impl Probe {
    /// Shortest interval.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(100);
    /// Longest probe and usual interval.
    const USUAL: Duration = Duration::from_millis(500);

    /// `None` if what is asked is missing or wrong, which is noted.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let http = section.key::<Target>("http").optional();
        let https = section.key::<Target>("https").optional();
        let untrue = |tcp: &bool| (!tcp).then(|| Trouble::new("says nothing", "write tcp = true, or remove it"));
        let tcp = section.key::<bool>("tcp").check(untrue).optional();
        let keys = Keys::read(section);
        let expect = read_expression(section, "expect");
        let ProxyText(send_proxy) = section.key("send_proxy").or(ProxyText(None));
        let port = section.key::<u16>("port").within(1, u16::MAX).optional();
        let interval = section.key("interval").within(Self::MIN_INTERVAL, Duration::from_secs(3600)).or(Self::USUAL);
        let timeout = read_timeout(section, interval);
        let rise = section.key("rise").within(1, 100).or(2);
        let fall = section.key("fall").within(1, 100).or(2);
        if !is_one(section) {
            return None;
        }
        let service = match (http, https, tcp) {
            (None, None, Some(_)) => {
                keys.refuse(section, "tcp");
                Service::Tcp(Tcp { expect, send_proxy })
            }
            (http, https, _) => {
                let secure = section.is_set("https");
                refuse(section, if secure { "https" } else { "http" }, &[("expect", expect.is_some())]);
                let Target(target) = http.or(https)?;
                Service::Http(Http { send_proxy, ..keys.http(section, secure, target, 0) })
            }
        };
        Some(Self { service, port, interval, timeout, rise, fall })
    }

    /// From a server's death at most so long until the probe begins whose failure tells it.
    pub(super) fn finds_down_within(&self) -> Duration {
        self.interval * self.fall
    }
}

/// What it is unless it is written depends on the interval.
fn read_timeout(section: &Section<'_>, interval: Duration) -> Duration {
    let (least, most) = (Duration::from_millis(10), Duration::from_secs(3600));
    let timeout = section.key("timeout").within(least, most).or(Probe::USUAL.min(interval));
    if timeout > interval {
        let what = format!(
            "{} = \"{}\" is longer than {} = \"{}\"",
            section.path_of("timeout"),
            duration::text(timeout),
            section.path_of("interval"),
            duration::text(interval)
        );
        section.conflict("timeout", Trouble::new(what, "change one: a server is never asked twice at a time"));
    }
    timeout.min(interval)
}

/// Whether exactly one of the three ways is written; else it is noted.
fn is_one(section: &Section<'_>) -> bool {
    const WAYS: [&str; 3] = ["http", "https", "tcp"];
    section.rule("oneOf", json!(WAYS.map(|way| json!({ "required": [way] }))));
    let mut written = WAYS.into_iter().filter(|way| section.is_set(way));
    match (written.next(), written.next()) {
        (Some(_), None) => true,
        (Some(one), Some(other)) => {
            let what = format!("{} cannot be used with {}", section.path_of(other), section.path_of(one));
            section.conflict(other, Trouble::new(what, "remove one"));
            false
        }
        (None, _) => {
            let what = format!("{} is missing", section.path_of("http"));
            section.conflict("http", Trouble::new(what, "write http = \"/PATH\", https = \"/PATH\" or tcp = true"));
            false
        }
    }
}
