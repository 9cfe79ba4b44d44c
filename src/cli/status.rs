//! `weir status`: whether all is well here, on one screen.

use std::time::Duration;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::parse;
use super::session::Session;
use super::time;
use super::upstream::show::{strength as in_of, why};
use super::watch::Watch;
use crate::escape::escape;
use crate::health::State;
use crate::rpc::weir::NodeStatus;
use crate::serf::Status as MemberStatus;
use crate::status::node::{
    ApplyResult, Attention, Check, Document, HEARD_S, Kind, LeftOut, LeftOutReason, Nginx, NginxState, Server,
    ServerState, Snapshot, Upstream, Want,
};
use crate::status::{Known, strangers};

/// Changes that one line names.
const MAX_CHANGES: usize = 3;
/// Servers of one upstream that have a line each.
const MAX_OUT: usize = 5;
/// Hosts that are not understood and have a line each.
const MAX_STRANGERS: usize = 3;

/// Tell whether all is well here: 0, or 8 if something needs attention.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Look at one part alone: nginx, which is well while NGINX runs here and serves a confirmed generation (for keepalived), or
    /// cluster, which is gossip and keys
    #[arg(long = "for", value_name = "PART", value_enum, hide_possible_values = true)]
    part: Option<Part>,
    /// Show it again whenever it changes, looking this often
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = parse::duration)]
    pub(crate) watch: Option<Duration>,
    #[command(flatten)]
    agent: AgentArgs,
}

/// What may be looked at alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Part {
    Nginx,
    Cluster,
}

impl Part {
    /// Whether attention of this kind is about it.
    const fn concerns(self, kind: Kind) -> bool {
        match kind {
            // An address that moves away from here serves nobody better because a neighbour's site is broken, a change was
            // refused, or a server is held.
            Kind::NginxDown | Kind::NotConfirmed => matches!(self, Self::Nginx),
            Kind::NameConflict | Kind::Alone | Kind::AddressGone | Kind::Isolated | Kind::Keys => {
                matches!(self, Self::Cluster)
            }
            Kind::Panic
            | Kind::Empty
            | Kind::HelperMissing
            | Kind::ApplyRefused
            | Kind::ApplySlow
            | Kind::Drained
            | Kind::Check
            | Kind::Held
            | Kind::ForeignEdit
            | Kind::Orphan
            | Kind::Flapping
            | Kind::Probe
            | Kind::AgentLost
            | Kind::Template
            | Kind::Snapshot
            | Kind::Config
            | Kind::Handlers => false,
        }
    }
}

impl Status {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let ended = self.tell(output).await;
        if output.is_quiet() && !output.is_json() { ended.or_else(code_alone) } else { ended }
    }

    async fn tell(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let Some(interval) = self.watch else {
            let document = fetch(&mut session, self.part).await?;
            return self.show(&document, output);
        };
        let mut watch = Watch::new(interval);
        loop {
            let fetched = fetch(&mut session, self.part).await;
            if let Some(document) = watch.answered(fetched, &mut session, &self.agent, output).await? {
                watch.show(output, &document, || render(&document, self.part))?;
            }
            watch.pause().await;
        }
    }

    fn show(&self, document: &Document, output: &Output) -> Result<Exit, Failure> {
        if output.is_json() {
            output.json(document)?;
        } else if !output.is_quiet() {
            output.text(&render(document, self.part))?;
        }
        Ok(if document.attention.is_empty() { Exit::Done } else { Exit::Attention })
    }
}

/// That nobody could be asked is an answer, too; what was mistyped is not.
fn code_alone(failure: Failure) -> Result<Exit, Failure> {
    match failure.exit() {
        Exit::Usage => Err(failure),
        exit => Ok(exit),
    }
}

/// The document, with the attention that `part` is about.
async fn fetch(session: &mut Session, part: Option<Part>) -> Result<Document, Failure> {
    let mut document = session.weir(&NodeStatus { members: false }).await?;
    if part == Some(Part::Nginx) && document.nginx.is_none() {
        return Err(Failure::new(Exit::Failed, "this node has no upstream, so it does not know how nginx is")
            .with_remedy("ask where one is configured"));
    }
    if let Some(part) = part {
        document.attention.retain(|attention| attention.kind.word().is_some_and(|kind| part.concerns(*kind)));
    }
    Ok(document)
}

fn render(document: &Document, part: Option<Part>) -> String {
    let (gossip, balancing) = (part != Some(Part::Nginx), part != Some(Part::Cluster));
    let mut lines = vec![(document.node.name.clone(), node(document))];
    if gossip {
        lines.push(("cluster".to_owned(), cluster(document)));
        lines.extend(below(strangers(document)));
        lines.extend(health(document).map(|text| ("health".to_owned(), text)));
        lines.push(("keys".to_owned(), keys(document)));
    }
    if let Some(snapshot) = document.snapshot.as_ref().filter(|_| part.is_none()) {
        lines.push(("snapshot".to_owned(), self::snapshot(snapshot)));
    }
    if balancing {
        let refused = refused(document);
        for each in &document.upstreams {
            lines.push(("upstream".to_owned(), upstream(each, refused.as_deref())));
            lines.extend(below(out(each)));
        }
        lines.extend(document.nginx.as_ref().map(|nginx| ("nginx".to_owned(), self::nginx(nginx, document))));
    }
    match &document.attention[..] {
        [] => lines.push(("attention".to_owned(), "nothing".to_owned())),
        all => lines.extend(all.iter().flat_map(attention)),
    }
    lines.into_iter().map(|(label, text)| format!("{:<9}  {}\n", escape(&label), escape(&text))).collect()
}

/// Lines under the one that they belong to.
fn below(lines: Vec<String>) -> impl Iterator<Item = (String, String)> {
    lines.into_iter().map(|line| (String::new(), line))
}

/// Its version, for how long it runs, its role and its address.
fn node(document: &Document) -> String {
    let node = &document.node;
    let mut parts = vec![format!("weir {}", node.version), format!("up {}", time::span(node.uptime_s))];
    parts.extend(node.tags.get("role").map(|role| format!("role {role}")));
    parts.extend(node.addr.map(|addr| addr.to_string()));
    parts.join(", ")
}

/// `3 alive, 1 failed; last change 13:31:07Z web2 joined`
fn cluster(document: &Document) -> String {
    let cluster = &document.cluster;
    let counts =
        [(cluster.alive, "alive"), (cluster.leaving, "leaving"), (cluster.failed, "failed"), (cluster.left, "left")];
    let counts = counts.iter().filter(|(count, word)| *count > 0 || *word == "alive");
    let counts = counts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
    let Some(change) = &cluster.last_change else { return counts };
    let at = change.at.as_deref().map(|at| format!("{} ", time::of_day(at))).unwrap_or_default();
    let what = match change.status.word() {
        Some(MemberStatus::Alive) => "is alive".to_owned(),
        Some(status @ (MemberStatus::Leaving | MemberStatus::Failed | MemberStatus::Left)) => status.to_string(),
        None => change.status.to_string(),
    };
    format!("{counts}; last change {at}{} {what}", change.member)
}

/// `1 critical, 2 passing, 1 without checks; here: site is critical`, of the members that are alive. An older agent does not say.
fn health(document: &Document) -> Option<String> {
    let health = &document.health;
    let counts = [
        (health.critical, "critical"),
        (health.silent, "silent"),
        (health.warning, "warning"),
        (health.wait, "waiting for a first result"),
        (health.passing, "passing"),
        (health.none, "without checks"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    let is_ill = |check: &&Check| check.state.is(&State::Critical) || check.state.is(&State::Warning);
    let ill: Vec<String> =
        document.checks.iter().filter(is_ill).map(|check| format!("{} is {}", check.name, check.state)).collect();
    match (counts.is_empty(), ill.is_empty()) {
        (true, _) => None,
        (false, true) => Some(counts),
        (false, false) => Some(format!("{counts}; here: {}", ill.join(", "))),
    }
}

/// `3fa9c1d2 seals, 2 in the ring; 0.01 % of its safe use`
fn keys(document: &Document) -> String {
    match &document.keys.keys[..] {
        [] => "no encryption".to_owned(),
        keys @ [primary, ..] => {
            format!("{} seals, {} in the ring; {:.2} % of its safe use", primary.id, keys.len(), primary.worn * 100.0)
        }
    }
}

/// `/var/lib/weir/snapshot, synced 40 s ago, 1.4 KiB`
fn snapshot(Snapshot { path, bytes, synced, failing }: &Snapshot) -> String {
    let mut text = path.clone();
    // An older agent does not say.
    if synced.at.is_some() {
        let ago = if synced.ago_s == 0 { String::new() } else { format!(" {} ago", time::span(synced.ago_s)) };
        text.push_str(&format!(", synced{ago}, {:.1} KiB", *bytes as f64 / 1024.0));
    }
    if failing.is_some() {
        text.push_str(", cannot be written");
    }
    text
}

/// The number of the generation that was refused last, if that is how the last apply ended.
fn refused(document: &Document) -> Option<String> {
    let last = document.apply.as_ref()?.last.as_ref()?;
    let is_refused = matches!(last.result.word(), Some(ApplyResult::Refused | ApplyResult::RolledBack));
    last.generation.filter(|_| is_refused).map(|generation| format!("generation {generation} waits"))
}

/// `web: 2 of 2 in, generation 7 live since 13:31:08Z; generation 8 waits (web2 weight 2 -> 4)`
fn upstream(upstream: &Upstream, refused: Option<&str>) -> String {
    let name = &upstream.name;
    let Some(want) = &upstream.want else { return format!("{name}: waits for the first view of the cluster") };
    let mut text = format!("{name}: {}", strength(upstream, want.word()));
    if let Some(generation) = upstream.generation {
        let since = upstream.live_since.as_deref().map(|since| format!(" since {}", time::of_day(since)));
        text.push_str(&format!(", generation {generation} live{}", since.unwrap_or_default()));
    }
    if !upstream.waiting.is_empty() {
        let shown: Vec<String> = upstream.waiting.iter().take(MAX_CHANGES).map(ToString::to_string).collect();
        let more = match upstream.waiting.len().saturating_sub(MAX_CHANGES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        text.push_str(&format!("; {} ({}{more})", refused.unwrap_or("waits"), shown.join(", ")));
    }
    if upstream.held.is_some() {
        text.push_str("; held");
    }
    text
}

/// Who is not understood and no member: whether it should be, nobody but the operator knows. Members need attention, and so does
/// whoever is heard while nobody else is there.
fn strangers(document: &Document) -> Vec<String> {
    let heard = strangers::heard(document, HEARD_S);
    let others = heard.filter(|stranger| !stranger.member && !document.cluster.hears_nobody());
    let lines = others.filter_map(|stranger| stranger.trouble.as_ref()).map(ToString::to_string).collect();
    first(MAX_STRANGERS, lines, || "weir doctor".to_owned())
}

/// `web2 down since 15:10:03Z: its service does not answer this balancer`, of each that gets no requests, or only for a hold.
fn out(upstream: &Upstream) -> Vec<String> {
    let has_reason = |server: &Server| upstream.left_out.iter().any(|left_out| left_out.member == server.member);
    let is_out = |server: &&Server| server.is_held_in() || !server.state.is(&ServerState::In) && !has_reason(server);
    let servers = upstream.servers.iter().filter(is_out).map(|server| {
        let since = server.since.as_deref().map(|since| format!(" since {}", time::of_day(since))).unwrap_or_default();
        let state = if server.is_held_in() { "held in".to_owned() } else { server.state.to_string() };
        (&server.member, format!("{} {state}{since}: {}", server.member, why(server)))
    });
    // Not this balancer itself: that is meant.
    let left_out = upstream.left_out.iter().filter(|left_out| !left_out.reason.is(&LeftOutReason::Itself));
    let left_out = left_out.map(|LeftOut { member, why, remedy, .. }| {
        let way_out = remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        (member, format!("{member}: {why}{way_out}"))
    });
    let mut lines: Vec<_> = servers.chain(left_out).collect();
    lines.sort();
    let lines = lines.into_iter().map(|(_, line)| line).collect();
    first(MAX_OUT, lines, || format!("weir upstream show {}", upstream.name))
}

/// The first `most`, and how many more there are, which `command` shows.
fn first(most: usize, mut lines: Vec<String>, command: impl Fn() -> String) -> Vec<String> {
    let more = lines.len().saturating_sub(most);
    if more > 0 {
        lines.truncate(most);
        lines.push(format!("and {more} more: '{}'", command()));
    }
    lines
}

fn strength(upstream: &Upstream, want: Option<&Want>) -> String {
    let panic = if upstream.panic { " (panic)" } else { "" };
    match want {
        Some(Want::Placeholder) => match upstream.unserved() {
            Some(unserved) if upstream.stream => format!("no server, {unserved}"),
            Some(_) => "no server, 502".to_owned(),
            None => "no server".to_owned(),
        },
        Some(Want::Hold) => {
            upstream.kept.as_ref().map_or_else(|| "nginx keeps what it has".to_owned(), Known::to_string)
        }
        Some(Want::Servers) | None => format!("{}{panic}", in_of(upstream)),
    }
}

/// `1.22.1, pid 812, last reload confirmed in 112 ms`
fn nginx(nginx: &Nginx, document: &Document) -> String {
    let since = nginx.since.as_deref().map(|since| format!(" since {}", time::of_day(since))).unwrap_or_default();
    let reload = document.apply.as_ref().and_then(|apply| apply.reload.as_ref());
    match nginx.state.word() {
        Some(NginxState::Running) => {
            let version = nginx.version.as_ref().map(|version| format!("{version}, ")).unwrap_or_default();
            let pid = nginx.pid.map_or_else(|| format!("runs{since}"), |pid| format!("pid {pid}"));
            let reload = reload.map(|reload| format!(", last reload confirmed in {} ms", reload.elapsed_ms));
            format!("{version}{pid}{}", reload.unwrap_or_default())
        }
        Some(NginxState::Stopped) => format!("does not run{since}"),
        Some(NginxState::NotInstalled) => "is not installed".to_owned(),
        Some(NginxState::Unknown) | None => nginx.state.to_string(),
    }
}

/// What it is, and below that the way out.
fn attention(attention: &Attention) -> Vec<(String, String)> {
    let since = attention.since.as_deref().map(|since| format!(" (since {})", time::of_day(since)));
    let what = format!("{}{}", attention.message, since.unwrap_or_default());
    let remedy = attention.remedy.iter().map(|remedy| (String::new(), remedy.clone()));
    std::iter::once(("attention".to_owned(), what)).chain(remedy).collect()
}
