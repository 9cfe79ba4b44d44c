//! A join that a client asked for, and what it is told: Serf's clients in the reference's words, ours address by address.

use super::commands::answer;
use super::join::{self, Unjoined, Unresolved};
use crate::config::JoinAddress;
use crate::rpc::Refusal;
use crate::rpc::call::Reply;
use crate::rpc::weir::{self, Answer, Joined, Missed};
use crate::status::Trouble;

/// Who waits for the end of a join.
#[derive(Debug)]
pub(super) struct JoinReply {
    replay: bool,
    client: Client,
}

#[derive(Debug)]
enum Client {
    Serf(Reply<Result<u32, Refusal>>),
    Weir {
        answer: Answer<weir::Join>,
        /// Each address as it was typed.
        typed: Vec<(JoinAddress, String)>,
        /// What is no address.
        refused: Vec<Missed>,
    },
}

impl JoinReply {
    /// A join in Serf's words; `None` if an address is none, which the client has been told.
    pub(super) fn of_serf(
        addresses: &[String],
        replay: bool,
        reply: Reply<Result<u32, Refusal>>,
    ) -> Option<(Vec<JoinAddress>, Self)> {
        let parse = |typed: &String| parse(typed).map_err(|error| multiple(&[format!("'{typed}' {error}")]));
        match addresses.iter().map(parse).collect() {
            Ok(addresses) => Some((addresses, Self { replay, client: Client::Serf(reply) })),
            Err(error) => {
                answer(reply, Err(error.into()));
                None
            }
        }
    }

    /// A join of a client of ours.
    pub(super) fn of_weir(join: weir::Join, answer: Answer<weir::Join>) -> (Vec<JoinAddress>, Self) {
        let (mut typed, mut refused) = (Vec::new(), Vec::new());
        for address in join.addresses {
            match parse(&address) {
                Ok(parsed) => typed.push((parsed, address)),
                Err(error) => refused.push(missed(&address, Trouble::new(format!("'{address}' {error}"), ""))),
            }
        }
        let addresses = typed.iter().map(|(address, _)| address.clone()).collect();
        (addresses, Self { replay: join.replay, client: Client::Weir { answer, typed, refused } })
    }

    pub(super) fn replay(&self) -> bool {
        self.replay
    }

    /// Tells the client. `tried` are the labels of all targets, one for each of them.
    pub(super) fn done(self, contacted: usize, tried: &[String], unresolved: &[Unresolved], failures: &[Unjoined]) {
        let contacted = u32::try_from(contacted).unwrap_or(u32::MAX);
        match self.client {
            Client::Serf(reply) => {
                let is_failed = contacted == 0 && !(unresolved.is_empty() && failures.is_empty());
                answer(reply, if is_failed { Err(join_errors(unresolved, failures).into()) } else { Ok(contacted) });
            }
            Client::Weir { answer, typed, mut refused } => {
                for each in unresolved {
                    let trouble = Trouble::new(each.to_string(), "correct the name, or give an address");
                    let written = typed.iter().find(|(address, _)| address.host == each.host);
                    refused.push(missed(written.map_or(&each.host, |(_, written)| written), trouble));
                }
                for unjoined in failures.iter().filter(|each| has_failed(&each.target.label, tried, failures)) {
                    let label = &unjoined.target.label;
                    let written = typed.iter().find(|(address, _)| address.to_string() == *label);
                    refused.push(missed(written.map_or(label, |(_, written)| written), join::explain(unjoined)));
                }
                answer.send(Ok(Joined { contacted, failed: refused }));
            }
        }
    }
}

/// Serf also takes `NAME/ADDRESS`; the name says nothing that the member would not say itself.
fn parse(typed: &str) -> Result<JoinAddress, <JoinAddress as std::str::FromStr>::Err> {
    typed.rsplit_once('/').map_or(typed, |(_, bare)| bare).parse()
}

fn missed(address: &str, Trouble { what, way_out }: Trouble) -> Missed {
    Missed { address: address.to_owned(), error: what, remedy: Some(way_out).filter(|way_out| !way_out.is_empty()) }
}

/// Whether none of the addresses of a name was contacted.
fn has_failed(label: &str, tried: &[String], failures: &[Unjoined]) -> bool {
    let failed = failures.iter().filter(|each| each.target.label == label).count();
    failed >= tried.iter().filter(|tried| *tried == label).count()
}

/// Why nobody was contacted, in the reference's words.
pub(super) fn join_errors(unresolved: &[Unresolved], failures: &[Unjoined]) -> String {
    let unresolved = unresolved.iter().map(|each| format!("Failed to resolve {}: {}", each.host, each.reason));
    multiple(&unresolved.chain(failures.iter().map(Unjoined::for_serf)).collect::<Vec<_>>())
}

/// As Go's multierror prints several: clients show it as it is.
fn multiple(errors: &[String]) -> String {
    let count = if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) };
    let lines: Vec<_> = errors.iter().map(|error| format!("* {error}")).collect();
    format!("{count} occurred:\n\t{}\n\n", lines.join("\n\t"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Cause, JoinFailure, JoinTarget, StreamError};
    use crate::status::Importer;

    #[test]
    fn several_errors_read_as_go_prints_them() {
        let one =
            multiple(&["Failed to join 127.0.0.29: dial tcp 127.0.0.29:7946: connect: connection refused".to_owned()]);
        assert_eq!(
            one,
            "1 error occurred:\n\t* Failed to join 127.0.0.29: dial tcp 127.0.0.29:7946: connect: connection refused\n\n"
        );
        assert_eq!(multiple(&["a".to_owned(), "b".to_owned()]), "2 errors occurred:\n\t* a\n\t* b\n\n");
    }

    #[test]
    fn each_address_that_failed_is_named_as_it_was_typed() {
        let (answer, mut awaited) = Answer::channel();
        let typed = ["127.0.0.22", "n1/127.0.0.29", "two.example", "none.example:1", "a:b:c"];
        let (addresses, reply) =
            JoinReply::of_weir(weir::Join { addresses: typed.map(str::to_owned).to_vec(), replay: true }, answer);
        assert!(reply.replay() && addresses.len() == 4);
        let failed = |label: &str, addr: &str| {
            let refused = StreamError { cause: Cause::Refused, text: "in Go's words".to_owned() };
            let target = JoinTarget { label: label.to_owned(), addr: addr.parse().unwrap() };
            Unjoined::by(target, JoinFailure::Connect(refused), Importer::We)
        };
        // One of the two addresses of this name answered.
        let failures = [failed("127.0.0.29:7946", "127.0.0.29:7946"), failed("two.example:7946", "127.0.0.30:7946")];
        let tried = ["127.0.0.22:7946", "127.0.0.29:7946", "two.example:7946", "two.example:7946"].map(str::to_owned);
        let unresolved = Unresolved { host: "none.example".to_owned(), reason: "name not known".to_owned() };
        reply.done(2, &tried, &[unresolved], &failures);
        let Joined { contacted, failed } = awaited.try_recv().unwrap().unwrap();
        let lines: Vec<_> = failed.iter().map(|missed| (missed.address.as_str(), missed.error.as_str())).collect();
        assert_eq!((contacted, lines.len()), (2, 3), "{lines:?}");
        assert_eq!(lines[0].0, "a:b:c");
        assert_eq!(lines[1], ("none.example:1", "cannot resolve 'none.example' to join: name not known"));
        assert_eq!(lines[2], ("n1/127.0.0.29", "nothing listens on 127.0.0.29:7946"));
        assert_eq!(failed[2].remedy.as_deref(), Some("start weir there, or correct the port"));
    }
}
