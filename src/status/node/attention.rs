//! What an operator should look at: from the facts of the document to the list at its end.

mod servers;

use serde::{Deserialize, Serialize};

use super::{
    Apply, ApplyResult, Check, CheckKind, Cluster, Document, Drain, Failing, ForeignEdit, Handler, Held,
    HeldUnconfigured, Kept, LastApply, Namesake, Nginx, NginxState, Server, ServerState, Stranger, Upstream, WORN,
    Want,
};
use crate::health::State;
use crate::serf::Claim;
use crate::status::{Known, Level, Trouble, strangers};
use crate::upstream::{MinHealthy, Mode, VerdictReason};

/// Events that a handler missed longer ago are history.
const RECENT_S: u64 = 3600;
/// Whoever wants our name asks for it every minute; who was not heard for so long has another by now.
pub const CLAIM_S: u64 = 180;
/// Whoever has to be understood speaks more often than that.
pub const HEARD_S: u64 = 60;
/// Servers that one line names.
const MAX_NAMED: usize = 3;

/// One thing to look at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attention {
    pub level: Known<Level>,
    pub kind: Known<Kind>,
    /// What it is about: an upstream, a key, a handler, this node.
    pub subject: String,
    pub message: String,
    #[serde(default)]
    pub remedy: Option<String>,
    #[serde(default)]
    pub since: Option<String>,
}

/// The kinds, by the words that metrics use, too. Errors come first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// NGINX does not run here, or is not installed.
    NginxDown,
    /// What NGINX serves is no confirmed generation.
    NotConfirmed,
    /// Too few servers are well, so ill ones stay in.
    Panic,
    /// No server gets requests.
    Empty,
    /// Another member has this node's name.
    NameConflict,
    /// Nobody is there to apply changes.
    HelperMissing,
    /// A change was not accepted; what serves is untouched.
    ApplyRefused,
    /// Whoever applies takes far longer than it should.
    ApplySlow,
    /// Nobody of those whom this node is to join could be joined, and nobody else is there.
    Alone,
    /// This host has not the address where others look for it.
    AddressGone,
    /// This balancer hears nobody though others should be there: it is rather its own network.
    Isolated,
    /// Balancers were told to send this node nothing, until that is taken back.
    Drained,
    /// A check of this node is critical.
    Check,
    /// An operator froze an upstream.
    Held,
    /// Somebody else changed a file of ours.
    ForeignEdit,
    /// A file of an upstream that is not configured any more is still in use.
    Orphan,
    /// Servers change too often and are held down.
    Flapping,
    /// This host cannot ask the servers how they are.
    Probe,
    /// Agents are lost whose service still answers.
    AgentLost,
    /// The file of a template is not as wanted.
    Template,
    /// A key is worn, the ring is not on disk, or somebody whom this node should hear is not understood.
    Keys,
    /// The snapshot cannot be written.
    Snapshot,
    /// The configuration in use is not that of the files.
    Config,
    /// A handler failed, or missed events.
    Handlers,
}

impl Kind {
    /// How bad it is.
    pub const fn level(self) -> Level {
        match self {
            Self::NginxDown
            | Self::NotConfirmed
            | Self::Panic
            | Self::Empty
            | Self::NameConflict
            | Self::HelperMissing => Level::Error,
            Self::ApplyRefused
            | Self::ApplySlow
            | Self::Alone
            | Self::AddressGone
            | Self::Isolated
            | Self::Drained
            | Self::Check
            | Self::Held
            | Self::ForeignEdit
            | Self::Orphan
            | Self::Flapping
            | Self::Probe
            | Self::AgentLost
            | Self::Template
            | Self::Keys
            | Self::Snapshot
            | Self::Config
            | Self::Handlers => Level::Warn,
        }
    }

    fn about(self, subject: &str, trouble: Trouble, since: Option<&String>) -> Attention {
        Attention {
            level: self.level().into(),
            kind: self.into(),
            subject: subject.to_owned(),
            message: trouble.what,
            remedy: Some(trouble.way_out).filter(|remedy| !remedy.is_empty()),
            since: since.cloned(),
        }
    }
}

/// Everything that needs attention, the worst first.
pub fn attention(document: &Document) -> Vec<Attention> {
    let mut list: Vec<(Kind, Attention)> = Vec::new();
    let mut add = |kind: Kind, subject: &str, trouble, since| list.push((kind, kind.about(subject, trouble, since)));
    if let Some(trouble) = document.node.name_conflict() {
        add(Kind::NameConflict, &document.node.name, trouble, document.node.silenced_since.as_ref());
    }
    if let Some(trouble) = alone(&document.cluster) {
        add(Kind::Alone, &document.node.name, trouble, None);
    }
    if let Some(trouble) = &document.node.address_gone {
        add(Kind::AddressGone, &document.node.name, trouble.clone(), None);
    }
    if let Some(since) = &document.cluster.isolated_since {
        add(Kind::Isolated, &document.node.name, isolated(), Some(since));
    }
    if let Some(drain) = &document.node.drain {
        add(Kind::Drained, &document.node.name, drained(drain), None);
    }
    for check in document.checks.iter().filter(|check| check.state.is(&State::Critical)) {
        add(Kind::Check, &check.name, critical(check), check.since.as_ref());
    }
    let is_alone = document.cluster.is_alone();
    let not_understood = |ip| {
        let heard = strangers::heard(document, HEARD_S).find(|stranger| stranger.addr.ip() == ip);
        heard.and_then(|stranger| stranger.trouble.as_ref())
    };
    for upstream in &document.upstreams {
        if let Some((kind, trouble)) = of_upstream(upstream, is_alone) {
            add(kind, &upstream.name, trouble, upstream.since.as_ref());
        }
        if let Some(held) = &upstream.held {
            add(Kind::Held, &upstream.name, frozen(upstream, held), held.since.as_ref());
        }
        if let Some((trouble, since)) = servers::flapping(upstream) {
            add(Kind::Flapping, &upstream.name, trouble, since);
        }
        if let Some((trouble, since)) = servers::unasked(upstream) {
            add(Kind::Probe, &upstream.name, trouble, since);
        }
        if let Some((trouble, since)) = servers::agents_lost(upstream, not_understood) {
            add(Kind::AgentLost, &upstream.name, trouble, since);
        }
    }
    for HeldUnconfigured { upstream, held } in document.apply.iter().flat_map(|apply| &apply.held) {
        add(Kind::Held, upstream, still_frozen(upstream, held), held.since.as_ref());
    }
    let nginx = document.nginx.as_ref();
    if let Some(nginx) = nginx.filter(|nginx| nginx.is_down())
        && let Some(trouble) = nginx.trouble()
    {
        add(Kind::NginxDown, "nginx", trouble, nginx.since.as_ref());
    }
    let of_apply = document.apply.as_ref().and_then(|apply| of_apply(apply, nginx));
    if let Some((kind, since)) = of_apply
        && let Some(last) = document.apply.as_ref().and_then(|apply| apply.last.as_ref())
    {
        add(kind, "nginx", ended(last), since);
    }
    if let Some(slow) = document.apply.as_ref().and_then(|apply| apply.slow.as_ref()) {
        add(Kind::ApplySlow, "nginx", slow.trouble.clone(), slow.since.as_ref());
    }
    if let Some(unseen) = nginx.and_then(|nginx| nginx.unseen.as_ref()) {
        let kind = if unseen.helper_missing { Kind::HelperMissing } else { Kind::ApplyRefused };
        // An apply that came to the same says more.
        if of_apply.is_none_or(|(of_apply, _)| of_apply != kind) {
            add(kind, "nginx", unseen.trouble.clone(), unseen.since.as_ref());
        }
    }
    for edit in document.apply.iter().flat_map(|apply| &apply.foreign).filter(|edit| edit.seen.ago_s <= RECENT_S) {
        add(Kind::ForeignEdit, &edit.file, overwritten(edit), edit.seen.at.as_ref());
    }
    for file in document.apply.iter().flat_map(|apply| &apply.orphans) {
        add(Kind::Orphan, file, left_behind(file), None);
    }
    for miss in document.apply.iter().flat_map(|apply| &apply.waits) {
        add(Kind::ApplyRefused, &miss.name, miss.trouble.clone(), miss.since.as_ref());
    }
    for miss in document.apply.iter().flat_map(|apply| &apply.templates) {
        add(Kind::Template, &miss.name, miss.trouble.clone(), miss.since.as_ref());
    }
    for key in document.keys.keys.iter().filter(|key| key.worn >= WORN) {
        add(Kind::Keys, &key.id, worn(&key.id, key.worn), key.worn_since.as_ref());
    }
    for refused in document.cluster.apart().iter().take(MAX_NAMED) {
        add(Kind::Keys, &refused.addr.ip().to_string(), refused.trouble.clone(), None);
    }
    for (stranger, trouble) in unheard(document).take(MAX_NAMED) {
        add(Kind::Keys, &stranger.addr.ip().to_string(), trouble.clone(), None);
    }
    if let Some(key) = document.keys.ids().next().filter(|_| document.keys.alone) {
        add(Kind::Keys, &document.node.name, sealing_alone(key), None);
    }
    if let Some(failing) = &document.keys.failing {
        let what = format!("the keyring or its state cannot be written, the ring in use stays: {}", failing.error);
        let way_out = failing.remedy.as_deref().unwrap_or("see to the keyring's directory");
        add(Kind::Keys, "keyring", Trouble::new(what, way_out), failing.since.as_ref());
    }
    if let Some(snapshot) = &document.snapshot
        && let Some(failing) = &snapshot.failing
    {
        let trouble = unwritten(&snapshot.path, failing);
        add(Kind::Snapshot, &snapshot.path, trouble, failing.since.as_ref());
    }
    if let Some(refused) = &document.config.refused {
        add(Kind::Config, "configuration", not_taken(&refused.mistakes), refused.since.as_ref());
    }
    for handler in &document.handlers {
        if let Some((trouble, since)) = of_handler(handler) {
            add(Kind::Handlers, &handler.name, trouble, since);
        }
    }
    // Stable: within a kind the order stays.
    list.sort_by_key(|(kind, _)| (kind.level(), *kind));
    list.into_iter().map(|(_, attention)| attention).collect()
}

/// By the first address that failed.
fn alone(cluster: &Cluster) -> Option<Trouble> {
    let [Trouble { what, way_out }, more @ ..] = &cluster.join_failures[..] else { return None };
    let others = match more.len() {
        0 => String::new(),
        1 => ", and another address is not joined either".to_owned(),
        count => format!(", and {count} other addresses are not joined either"),
    };
    cluster.hears_nobody().then(|| Trouble::new(format!("this node is alone: {what}{others}"), way_out))
}

/// A balancer that hears nobody is no judge of others.
fn isolated() -> Trouble {
    let what = "no other member is heard, so this node's own network is in doubt: servers stay as they are whatever gossip says of \
                them";
    Trouble::new(what, "see to the network of this host; 'weir doctor' looks at it")
}

/// Those who are not understood, and are or were members; or anybody, while nobody else is there. What a failed join has told is
/// left out.
fn unheard(document: &Document) -> impl Iterator<Item = (&Stranger, &Trouble)> {
    let cluster = &document.cluster;
    let is_missed = move |stranger: &&Stranger| stranger.member || cluster.hears_nobody();
    let missed = strangers::heard(document, HEARD_S).filter(is_missed);
    let others = missed.filter(move |stranger| !cluster.is_apart(stranger.addr.ip()));
    let told = others.filter_map(|stranger| Some((stranger, stranger.trouble.as_ref()?)));
    let by_join = move |trouble| cluster.lacks_key || cluster.join_failures.contains(trouble);
    told.filter(move |(_, trouble)| !(cluster.hears_nobody() && by_join(trouble)))
}

fn drained(drain: &Drain) -> Trouble {
    let (order, way_out) = (drain.order(), drain.way_out());
    let what = match (&drain.confirmed[..], &drain.open[..]) {
        (_, open @ [_, ..]) => format!("{} may still send this node requests though {order}", open.join(", ")),
        ([], []) => format!("no balancer is there to confirm that this node gets no requests: {order}"),
        ([_, ..], []) => format!("balancers send this node nothing new: {order}"),
    };
    let waits = "'weir drain' waits for them and says why";
    Trouble::new(what, if drain.open.is_empty() { way_out.to_owned() } else { format!("{waits}; {way_out}") })
}

impl Drain {
    /// Whose order it is: `it is drained (kernel)`, `app.service was stopped`.
    pub fn order(&self) -> String {
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
        let app = match &self.guards[..] {
            [] => "the application that its guard unit looks after was stopped".to_owned(),
            [unit] => format!("{unit} was stopped"),
            units => format!("{} were stopped", units.join(", ")),
        };
        match (self.operator, self.guard) {
            (false, _) => app,
            (true, false) => format!("it is drained{reason}"),
            (true, true) => format!("it is drained{reason}, and {app}"),
        }
    }

    /// How that is taken back: what a guard has asked for ends with its application's return.
    pub const fn way_out(&self) -> &'static str {
        match (self.operator, self.guard) {
            (false, _) => "start the application again, or 'weir drain --undo' where it runs and has no guard any more",
            (true, false) => "undo with 'weir drain --undo'",
            (true, true) => "start the application again, and 'weir drain --undo'",
        }
    }
}

/// A check that speaks against this node, by the first line of what it found.
fn critical(check: &Check) -> Trouble {
    let Check { name, target, .. } = check;
    let why = check.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    let way_out = match check.kind.word() {
        Some(CheckKind::Ttl) => {
            format!("'weir check pass {name}' once it is well, and again within {target} each time")
        }
        Some(CheckKind::Http | CheckKind::Tcp | CheckKind::Exec | CheckKind::Systemd) | None => {
            format!("see to {target}; 'weir check list' shows its results")
        }
    };
    Trouble::new(format!("check {name} of this node is critical{why}"), way_out)
}

impl super::Node {
    /// What is the matter with its name, if it cannot work under it. At an address that is not its host's it is a namesake of its own.
    pub fn name_conflict(&self) -> Option<Trouble> {
        if self.address_gone.is_some() {
            return None;
        }
        let name = &self.name;
        if self.silenced {
            let what = format!(
                "another member is called '{name}' and the majority sides with it, so this node keeps silent until the name \
                 is free"
            );
            return Some(Trouble::new(what, "set a different node.name"));
        }
        let Namesake { addr, .. } = self.namesake.as_ref().filter(|namesake| namesake.claim.is(&Claim::Undecided))?;
        let what = format!(
            "another host, at {addr}, is called '{name}' as well, and nobody else is there to say whose the name is, so \
             neither sees the other"
        );
        Some(Trouble::new(what, "set a different node.name on one of the two"))
    }

    /// Another host that has to do without the name, since this node holds it.
    pub fn name_claim(&self) -> Option<Trouble> {
        let is_recent = |namesake: &&Namesake| namesake.claim.is(&Claim::Held) && namesake.ago_s <= CLAIM_S;
        let Namesake { addr, .. } = self.namesake.as_ref().filter(|_| !self.silenced).filter(is_recent)?;
        let name = &self.name;
        let what = format!(
            "another host, at {addr}, is called '{name}' as well: this node keeps the name, and that one keeps silent"
        );
        Some(Trouble::new(what, "set a different node.name there"))
    }
}

/// `is_alone`: no other member is known.
fn of_upstream(upstream: &Upstream, is_alone: bool) -> Option<(Kind, Trouble)> {
    let name = &upstream.name;
    let (mode, want) = (upstream.mode.as_ref()?.word()?, upstream.want.as_ref()?.word()?);
    let start = || to_start(name, is_alone);
    match want {
        Want::Placeholder => {
            let unserved = upstream.unserved().map(|unserved| format!(", {unserved}")).unwrap_or_default();
            let what = format!("upstream {name} has no server{unserved}");
            Some((Kind::Empty, with_left_out(upstream, what, &start())))
        }
        Want::Hold => {
            let what = match upstream.kept.as_ref().and_then(Known::word) {
                // That it is held is told anyway.
                Some(Kept::Unrecorded) => return None,
                Some(Kept::Before) => {
                    format!("upstream {name} has no server yet, NGINX keeps the file that was there before")
                }
                Some(Kept::AllLeft) | None => {
                    format!("every server of upstream {name} has left, NGINX keeps the last ones")
                }
            };
            Some((Kind::Empty, with_left_out(upstream, what, &start())))
        }
        Want::Servers if upstream.serving() == 0 => {
            let what = format!("upstream {name} has no server that takes requests");
            Some((Kind::Empty, with_left_out(upstream, what, &start())))
        }
        Want::Servers => match mode {
            Mode::Normal => None,
            // Enough are well again: it is left in a moment.
            Mode::Floor if !upstream.panic => None,
            Mode::Floor => {
                let (floor, base) = (upstream.floor, upstream.base);
                let setting = upstream.min_healthy.map(|wanted| format!(" ({})", wanted.setting())).unwrap_or_default();
                let mut what = format!("fewer than {floor} of the {base} servers of upstream {name} are well{setting}");
                let is_kept = |server: &Server| {
                    server.reason.is(&VerdictReason::KeptByFloor) && server.state.is(&ServerState::In)
                };
                if upstream.servers.iter().any(is_kept) {
                    what.push_str(", so those that are ill stay in");
                }
                let see_to = see_to_servers(upstream);
                let way_out = too_many_wanted(upstream).map(|too_many| format!("{see_to}; or {}", too_many.way_out));
                Some((Kind::Panic, Trouble::new(what, way_out.unwrap_or(see_to))))
            }
            Mode::Last => {
                let what = format!("no server of upstream {name} is well, the last good ones stay in");
                Some((Kind::Panic, Trouble::new(what, see_to_servers(upstream))))
            }
        },
    }
}

/// That it wants more servers to be well than there are: then none of them may be missing.
pub(in crate::status) fn too_many_wanted(upstream: &Upstream) -> Option<Trouble> {
    let Upstream { name, base, .. } = upstream;
    let wanted = upstream.min_healthy.filter(|wanted| *base > 0 && wanted.exceeds(*base))?;
    let selected = if *base == 1 { "is one server".to_owned() } else { format!("are {base} servers") };
    let what = format!(
        "upstream {name} has {}, a count, and there {selected}: none may drain, and one that is ill stays in",
        wanted.setting()
    );
    // Whoever forgot a sign meant that share.
    let share = match wanted {
        MinHealthy::Count(count @ 10..=100) => count,
        MinHealthy::Count(_) | MinHealthy::Percent(_) => 50,
    };
    Some(Trouble::new(what, format!("write upstream.{name}.policy.min_healthy = \"{share}%\", or a smaller number")))
}

/// What gives an upstream that selects nobody a server.
pub(in crate::status) fn to_start(upstream: &str, is_alone: bool) -> String {
    let start = format!("start a member that upstream.{upstream}.select matches");
    if is_alone { format!("'weir join' a member of the cluster, or {start}") } else { start }
}

/// Whoever would be a server and cannot be one is the likeliest reason.
fn with_left_out(upstream: &Upstream, what: String, way_out: &str) -> Trouble {
    match upstream.left_out.first() {
        Some(left_out) => {
            let what = format!("{what} ({}: {})", left_out.member, left_out.why);
            let correct = || format!("correct that member, or upstream.{}", upstream.name);
            Trouble::new(what, left_out.remedy.clone().unwrap_or_else(correct))
        }
        None => Trouble::new(what, way_out),
    }
}

fn see_to_servers(upstream: &Upstream) -> String {
    use VerdictReason::{Dead, Ill, KeptByFloor, LastGoodSet};
    let is_ill = |reason: &VerdictReason| matches!(reason, Dead | Ill | KeptByFloor | LastGoodSet);
    let ill = upstream.servers.iter().filter(|server| server.reason.word().is_some_and(is_ill));
    let names: Vec<_> = ill.take(MAX_NAMED).map(|server| server.member.as_str()).collect();
    format!("see to {}", if names.is_empty() { "its servers".to_owned() } else { names.join(", ") })
}

/// What the last apply says that NGINX's state does not.
fn of_apply<'a>(apply: &'a Apply, nginx: Option<&Nginx>) -> Option<(Kind, Option<&'a String>)> {
    let last = apply.last.as_ref()?;
    let is_missing = nginx.is_some_and(|nginx| nginx.state.is(&NginxState::NotInstalled));
    let kind = match last.result.word()? {
        ApplyResult::Live | ApplyResult::Unchanged | ApplyResult::Stored => return None,
        ApplyResult::Refused if is_missing => return None,
        ApplyResult::Refused if last.helper_missing => Kind::HelperMissing,
        ApplyResult::Failed => Kind::NotConfirmed,
        ApplyResult::Refused | ApplyResult::RolledBack if apply.unconfirmed_since.is_some() => {
            return Some((Kind::NotConfirmed, apply.unconfirmed_since.as_ref()));
        }
        ApplyResult::Refused | ApplyResult::RolledBack if last.foreign_edit => Kind::ForeignEdit,
        ApplyResult::Refused | ApplyResult::RolledBack => Kind::ApplyRefused,
    };
    Some((kind, last.since.as_ref()))
}

/// How the last apply ended; of a configuration that is not ours to mend it says so first.
fn ended(last: &LastApply) -> Trouble {
    let trouble = last.trouble();
    let Some(words) = last.nginx_error.as_ref().filter(|_| last.result.is(&ApplyResult::Refused)) else {
        return trouble;
    };
    let what = format!("nginx rejects its configuration, not because of weir: {words}");
    let way_out = trouble.way_out;
    let way_out =
        format!("{way_out}; what serves is untouched, but a restart of nginx would fail; weir tries again by itself");
    Trouble { what, way_out }
}

fn frozen(upstream: &Upstream, held: &Held) -> Trouble {
    let name = &upstream.name;
    let reason = in_brackets(held);
    let waiting = match upstream.servers.iter().filter(|server| server.state.is(&ServerState::Held)).count() {
        0 => String::new(),
        1 => ", a server waits outside".to_owned(),
        count => format!(", {count} servers wait outside"),
    };
    Trouble::new(format!("upstream {name} is held{reason}{waiting}"), format!("'weir upstream release {name}'"))
}

fn still_frozen(name: &str, held: &Held) -> Trouble {
    let what = format!("upstream {name} is held{} and not configured any more", in_brackets(held));
    Trouble::new(what, format!("'weir upstream release {name}'"))
}

fn in_brackets(held: &Held) -> String {
    held.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"))
}

/// Its upstream was taken out of the configuration, and a site uses it all the same.
fn left_behind(file: &str) -> Trouble {
    let what =
        format!("{file} is of no upstream any more and stays for a site that needs it; its servers stay what they are");
    let way_out = "configure that upstream again, or take it out of the site: the file goes within half a minute then, and at \
                   once with 'weir reload'";
    Trouble::new(what, way_out)
}

fn overwritten(edit: &ForeignEdit) -> Trouble {
    let ForeignEdit { file, copy, .. } = edit;
    let what = format!("somebody else had written {file}; weir's is in its place, and theirs is kept as {copy}");
    Trouble::new(what, "keep others from writing it, or set apply.foreign_edit = \"hold\"")
}

fn worn(id: &str, share: f64) -> Trouble {
    let percent = (share * 100.0).min(999.0);
    let what = format!("key {id} has sealed {percent:.0} % of what is safe in memberlist's envelope");
    Trouble::new(what, "weir keys rotate")
}

/// Nobody else's pings are sealed with it.
fn sealing_alone(key: &str) -> Trouble {
    let what = format!(
        "this node seals with key {key}, which no other member seals with: they hear it by an older key alone, and not \
         once it restarts"
    );
    Trouble::new(what, "'weir keys export' on one of the others, 'weir keys import' here")
}

fn unwritten(path: &str, Failing { error, remedy, .. }: &Failing) -> Trouble {
    let what = format!("cannot write {path}: {error}: the agent goes on, but a restart now needs gossip.join");
    Trouble::new(what, remedy.as_deref().unwrap_or("see to its directory"))
}

fn not_taken(mistakes: &[String]) -> Trouble {
    let first = mistakes.first().map(String::as_str).unwrap_or_default();
    let more = match mistakes.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let what = format!("the configuration was not taken over at the last reload, the one before stays: {first}{more}");
    Trouble::new(what, "correct it, and 'weir reload'")
}

fn of_handler(handler: &Handler) -> Option<(Trouble, Option<&String>)> {
    const WAY_OUT: &str = "see 'journalctl -u weir'";
    let name = &handler.name;
    if let Some(last) = handler.last.as_ref().filter(|last| !last.run.is_well()) {
        let what = format!("handler {name} failed: {}", last.run);
        return Some((Trouble::new(what, last.run.remedy().unwrap_or(WAY_OUT)), last.at.as_ref()));
    }
    let missed = handler.last_drop.as_ref().filter(|missed| missed.ago_s <= RECENT_S)?;
    let what = format!("handler {name} is too slow: {} events were dropped, its queue was full", handler.dropped);
    Some((Trouble::new(what, format!("make it faster, or set handler.{name}.queue higher")), missed.at.as_ref()))
}

#[cfg(test)]
mod tests;
