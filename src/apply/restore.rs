//! A generation's files in place once more: for an operator who goes back, for recovery, and on the way back from what failed.
//!
//! They are not rendered anew: today's configuration may make other bytes of the same servers, and these have been loaded before.

use super::plan::{Change, Plan};
use super::store::Saved;
use super::targets::{is_edited, is_ours};
use super::{Error, Options, feature, place};
use crate::config::ForeignEdit;
use crate::digest::Digest;
use crate::drain::Promises;
use crate::nginx::{Turn, render};
use crate::upstream::desired::{Desired, Target};
use crate::upstream::{Generation, Servers, UpstreamName};

/// What makes the files that are configured be those of `saved`, as generation `next` if anything has to change. Where a server
/// belongs to a node that was told that it may stop, the file is rendered anew without it.
pub(super) fn plan(
    options: &Options,
    saved: &Saved,
    promises: &Promises,
    in_place: Option<&Saved>,
    next: Generation,
) -> Result<Plan, Error> {
    let desired = configured(options, saved);
    let promised = without_promised(&desired, promises);
    let mut plan = Plan::on_top_of(in_place, promised.as_ref().unwrap_or(&desired));
    for target in options.targets() {
        let Some(file) = saved.file(target.output) else { continue };
        let name = &target.options.name;
        let anew = promised.as_ref().and_then(|promised| promised.upstreams.get(name));
        let anew = anew.filter(|anew| desired.upstreams.get(name) != Some(*anew));
        let (after, turn) = match anew {
            Some(wanted) => {
                let turn = Turn { order: desired.order, generation: next };
                (Some(render(target.block, wanted, turn, feature::host(options)).into_bytes()), next)
            }
            None => (saved.bytes(file)?, file.turn),
        };
        let before = place::look(name, target.output)?;
        let known = in_place.and_then(|saved| saved.file(target.output)).and_then(|file| file.hash);
        let is_edited = is_edited(in_place, target.output, before.as_ref());
        if !is_edited && known == after.as_deref().map(Digest::of) {
            plan.keep(target.output);
            continue;
        }
        if is_edited && options.apply.foreign_edit == ForeignEdit::Hold {
            return Err(Error::ForeignEdit { path: target.output.to_owned() });
        }
        let foreign = before.as_ref().is_some_and(|before| !is_ours(in_place, target.output, before));
        if after.is_none() {
            plan.desired.upstreams.remove(name);
        }
        let change = Change::new(name.clone(), target.output.to_owned(), after, before).like(Some(file));
        plan.add(Change { foreign, ..change }, turn);
    }
    plan.end(next, in_place);
    Ok(plan)
}

/// Whether one of its servers belongs to a node that was told that it may stop.
pub(super) fn has_promised(options: &Options, saved: &Saved, promises: &Promises) -> bool {
    without_promised(&configured(options, saved), promises).is_some()
}

/// What of it has a place here.
pub(super) fn configured(options: &Options, saved: &Saved) -> Desired {
    let mut desired = saved.desired().clone();
    let has_file = |name: &UpstreamName| options.target(name).is_some_and(|target| saved.file(target.output).is_some());
    desired.upstreams.retain(|name, _| has_file(name));
    desired
}

/// The same with the servers of every promised node down; `None` if that is no difference.
fn without_promised(desired: &Desired, promises: &Promises) -> Option<Desired> {
    let mut all = desired.clone();
    for target in all.upstreams.values_mut() {
        let Target::Servers(servers) = target else { continue };
        let down = servers.as_slice().iter().cloned().map(|mut server| {
            server.down |= promises.is_promised(&server.member);
            server
        });
        *servers = Servers::new(down.collect()).expect("they were servers before");
    }
    (all != *desired).then_some(all)
}
