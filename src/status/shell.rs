//! Commands that an operator may copy into a shell, with the names that peers chose in them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// `word` as one argument, quoted where a shell would read more into it or a terminal could not show it.
pub(crate) fn argument(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "._-:@/+,".contains(c);
    let is_shown = |c: char| c.is_alphanumeric() || c == ' ' || c.is_ascii_graphic();
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    if word.chars().all(is_shown) {
        return Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")));
    }
    let mut out = "$'".to_owned();
    for c in word.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_shown(c) => out.push(c),
            // Writing to a String cannot fail.
            c if c.is_ascii() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => drop(write!(out, "\\U{:08x}", u32::from(c))),
        }
    }
    out.push('\'');
    Cow::Owned(out)
}

/// As [`argument`] where no option is meant, whatever it begins with.
pub(crate) fn operand(word: &str) -> Cow<'_, str> {
    if word.starts_with('-') { Cow::Owned(format!("-- {}", argument(word))) } else { argument(word) }
}

/// As [`argument`], as the value of `option`.
pub(crate) fn option(option: &str, word: &str) -> String {
    // Standard input is no option.
    let between = if word.starts_with('-') && word != "-" { '=' } else { ' ' };
    format!("{option}{between}{}", argument(word))
}

/// What opens `port` in the firewalls of the distributions that are packaged for.
pub(crate) fn open_port(port: u16) -> String {
    format!(
        "'firewall-cmd --permanent --add-port={port}/tcp --add-port={port}/udp' and 'firewall-cmd --reload', \
         or 'ufw allow {port}'"
    )
}

/// The way out where nobody listens at `addr`: not at its IPv6 address does whoever is bound to IPv4 alone.
pub(crate) fn start_there(addr: SocketAddr) -> &'static str {
    if addr.is_ipv6() {
        "start weir there; where it runs, set gossip.bind = \"[::]:7946\" there and restart it; or correct the port"
    } else {
        "start weir there, or correct the port"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_argument() {
        for (name, written) in [
            ("web1.example.org", "web1.example.org"),
            ("grüße", "grüße"),
            ("", "''"),
            ("a b", "'a b'"),
            ("x; rm -rf ~", "'x; rm -rf ~'"),
            ("$(id)", "'$(id)'"),
            ("it's", "'it'\\''s'"),
            ("a\n'\\\u{1b}b", "$'a\\x0a\\'\\\\\\x1bb'"),
            ("\u{202e}gpj", "$'\\U0000202egpj'"),
        ] {
            assert_eq!(argument(name), written);
        }
        assert_eq!((operand("-p").as_ref(), operand("p").as_ref()), ("-- -p", "p"));
        assert_eq!(option("--key-file", "-"), "--key-file -");
        assert_eq!((option("--force", "-p"), option("--force", "p q")), ("--force=-p".into(), "--force 'p q'".into()));
    }
}
