//! The servers of `http { }`: who answers on a port.

use super::Context;
use super::network::port;
use super::tree::{Directive, all_in_block, walk};

/// One `server { }` that listens on the port in question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server<'a> {
    /// Itself, with its place and its block.
    pub directive: &'a Directive,
    /// The addresses by which it listens there, as they are written; `80` where nothing is.
    pub addresses: Vec<&'a str>,
    /// Whoever asks for another name gets its answer.
    pub is_default: bool,
}

/// Every server that listens on `at`, in the order in which NGINX reads them.
pub fn servers_at(tree: &[Directive], at: u16) -> Vec<Server<'_>> {
    let mut servers = Vec::new();
    walk(tree, &mut |directive, within| {
        if directive.name == "server" && Context::Http.is_around(within) {
            servers.extend(server(directive, at));
        }
    });
    servers
}

fn server(directive: &Directive, at: u16) -> Option<Server<'_>> {
    let listens = all_in_block(directive.block.as_deref()?, "listen");
    if listens.is_empty() {
        // As root it listens on 80 then.
        return (at == 80).then(|| Server { directive, addresses: vec!["80"], is_default: false });
    }
    let there: Vec<&Directive> = listens
        .into_iter()
        .filter(|listen| listen.arguments.first().and_then(|address| port(address)) == Some(at))
        .collect();
    let says_so =
        |listen: &&Directive| listen.arguments.iter().any(|word| word == "default_server" || word == "default");
    let addresses: Vec<&str> = there.iter().filter_map(|listen| listen.arguments.first().map(String::as_str)).collect();
    (!addresses.is_empty()).then(|| Server { directive, addresses, is_default: there.iter().any(says_so) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::nginx::parse;

    #[test]
    fn servers_are_found_by_where_they_listen() {
        let text = "http { server { listen 80 default_server; listen [::]:80 default_server; listen 443 ssl; }\n\
            server { listen 8080; }\nserver { server_name x; }\nserver { listen 10.0.0.1; listen unix:/run/x; } }\n\
            stream { server { listen 80; } }";
        let tree = parse(Path::new("/n.conf"), text).unwrap();
        let seen: Vec<_> = servers_at(&tree, 80)
            .into_iter()
            .map(|server| (server.directive.line, server.addresses, server.is_default))
            .collect();
        assert_eq!(seen, [(1, vec!["80", "[::]:80"], true), (3, vec!["80"], false), (4, vec!["10.0.0.1"], false)]);
        assert_eq!(servers_at(&tree, 443).len(), 1);
        assert_eq!(servers_at(&tree, 81).len(), 0);
    }
}
