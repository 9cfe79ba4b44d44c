//! Where a request over HTTP goes, first and after each redirect.

use std::borrow::Cow;

use rustls::pki_types::ServerName;

use super::http::Head;
use crate::config::{Address, Http, HttpUrl, name_and_port};
use crate::health::answer::Failure;

/// One exchange's destination.
#[derive(Debug)]
pub(super) struct Hop<'a> {
    pub(super) address: Cow<'a, Address>,
    /// Over TLS.
    pub(super) secure: bool,
    target: Cow<'a, str>,
    host: Cow<'a, str>,
    /// Whom the operator named, not whom a redirect did.
    named: bool,
}

impl<'a> Hop<'a> {
    pub(super) fn first(http: &'a Http, address: &'a Address) -> Self {
        let secure = http.secure;
        Self {
            address: Cow::Borrowed(address),
            secure,
            target: Cow::Borrowed(&http.target),
            host: http.host.as_deref().map_or_else(|| authority(address, secure).into(), Cow::Borrowed),
            named: true,
        }
    }

    /// Where a redirect leads.
    pub(super) fn follow(self, location: &str) -> Result<Self, Failure> {
        let location = location.split('#').next().unwrap_or_default();
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok(Self { target: location.to_owned().into(), ..self });
        }
        let scheme = if self.secure { "https:" } else { "http:" };
        let absolute = if location.starts_with("//") { format!("{scheme}{location}") } else { location.to_owned() };
        let url: HttpUrl = absolute.parse().map_err(|_| Failure::Redirect)?;
        let host = authority(&url.address, url.secure);
        // What goes there encrypted is not to be read on the way.
        let is_as_safe = url.secure || !self.secure;
        let named = self.named && is_as_safe && (*self.address == url.address || self.host == host);
        Ok(Self {
            address: Cow::Owned(url.address),
            secure: url.secure,
            target: url.target.into(),
            host: host.into(),
            named,
        })
    }

    pub(super) fn head(&self, follows: bool) -> Head<'_> {
        Head { host: &self.host, target: &self.target, follows, own_headers: self.named }
    }

    /// Whom the certificate must name.
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, Failure> {
        let name =
            name_and_port(&self.host).map(|(name, _)| name.trim_start_matches('[').trim_end_matches(']').to_owned());
        name.and_then(|name| ServerName::try_from(name).ok()).ok_or(Failure::Name)
    }
}

/// The address as a header `Host` has it: without the port that goes without saying.
fn authority(address: &Address, secure: bool) -> String {
    let text = address.to_string();
    let usual = if secure { ":443" } else { ":80" };
    match text.strip_suffix(usual) {
        Some(host) => host.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_goes_without_the_usual_port() {
        for (address, secure, host) in [
            ("10.0.0.1:80", false, "10.0.0.1"),
            ("10.0.0.1:80", true, "10.0.0.1:80"),
            ("[::1]:443", true, "[::1]"),
            ("[::1]:8080", false, "[::1]:8080"),
        ] {
            assert_eq!(authority(&Address::Socket(address.parse().unwrap()), secure), host);
        }
    }
}
