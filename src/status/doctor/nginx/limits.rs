//! What an upstream may outgrow: the room of its zone, and what a consistent hash costs (`nginx §3`).

use super::{Findings, Nginx, Output, place};
use crate::nginx::{Directive, Form, PageSize, Zone, all_in_block, in_block, walk};

/// More weight in all than this costs a consistent hash a second and a tenth of a gigabyte at every reload.
const MUCH_WEIGHT: u32 = 20_000;

pub(super) fn judge(findings: &mut Findings, facts: &Nginx, output: &Output) {
    let block = block(facts, output);
    judge_zone(findings, facts, output, block);
    if let Some(block) = block {
        judge_hash(findings, output, block);
    }
}

fn judge_zone(findings: &mut Findings, facts: &Nginx, output: &Output, block: Option<&Directive>) {
    const ID: &str = "nginx.zone";
    let servers = output.servers.max(block.map_or(0, |block| servers(block).len()));
    let name = &output.upstream;
    let (zone, way_out) = match output.form {
        Form::Block => (output.zone, format!("set upstream.{name}.nginx.zone = \"auto\"")),
        Form::Servers => {
            let declared = block.and_then(|block| in_block(block.block.as_deref()?, "zone"));
            let Some((declared, arguments)) = declared.map(|zone| (zone, zone.arguments.as_slice())) else { return };
            // Without a size it is declared elsewhere.
            let [called, size, ..] = arguments else { return };
            let kib = Zone::Auto.kib(servers, PageSize::USUAL);
            (size.parse().ok(), format!("write 'zone {called} {kib}k;' ({})", place(declared, facts)))
        }
    };
    match zone {
        Some(zone) if zone.is_tight(servers) => {
            let message = format!(
                "the zone of upstream {name}, {zone}, is full or nearly so with {servers} servers: NGINX refuses more"
            );
            findings.warn(ID, name, message, &way_out);
        }
        Some(_) | None => findings.pass(ID, name),
    }
}

fn block<'a>(facts: &'a Nginx, output: &Output) -> Option<&'a Directive> {
    let mut found = None;
    walk(&facts.tree, &mut |directive, within| {
        let is_named = directive.arguments.first() == Some(&output.upstream);
        if directive.name == "upstream" && is_named && output.context.is_around(within) {
            found = Some(directive);
        }
    });
    found
}

/// Its servers, those of included files with them.
fn servers(block: &Directive) -> Vec<&Directive> {
    all_in_block(block.block.as_deref().unwrap_or_default(), "server")
}

/// NGINX makes 160 points of each unit of weight, anew whenever it reads its configuration.
fn judge_hash(findings: &mut Findings, output: &Output, block: &Directive) {
    const ID: &str = "nginx.hash";
    let name = &output.upstream;
    let hash = in_block(block.block.as_deref().unwrap_or_default(), "hash");
    let is_consistent = hash.is_some_and(|hash| hash.arguments.iter().any(|argument| argument == "consistent"));
    let weight = |server: &Directive| {
        server.arguments.iter().find_map(|argument| argument.strip_prefix("weight=")?.parse().ok())
    };
    let servers = servers(block);
    let total = servers.iter().fold(0_u32, |sum, server| sum.saturating_add(weight(server).unwrap_or(1)));
    if !is_consistent || total <= MUCH_WEIGHT {
        return findings.pass(ID, name);
    }
    let message = format!(
        "the weights of upstream {name} add up to {total}: its consistent hash costs NGINX {} s and {} MB at every reload",
        total.div_ceil(23_000),
        total / 200
    );
    let most = MUCH_WEIGHT as usize / servers.len();
    let way_out = format!("give its members smaller weights, or set upstream.{name}.server.weight.max = {most}");
    findings.warn(ID, name, message, &way_out);
}
