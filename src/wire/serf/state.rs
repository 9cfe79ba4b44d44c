//! The user state of a push/pull (`serf §3.2`).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::message::{blob, ltime, string};
use super::{LamportTime, PushPullState, RecentEvents, kind};
use crate::wire::msgpack::{Reader, Writer};
use crate::wire::stream::MAX_NODES;
use crate::wire::{DecodeError, Problem};

/// Slots and events that are read, all slots together: 512 slots of 512 events, as many as we keep. In the input each may be a
/// single byte, in memory it has fifty; the rest is passed over.
const MAX_EVENTS: usize = 512 * 512;

impl PushPullState {
    const FIELDS: [&'static str; 6] = ["LTime", "StatusLTimes", "LeftMembers", "EventLTime", "Events", "QueryLTime"];

    /// Reads type byte and body.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let kind = r.byte().map_err(|error| error.within("push/pull state"))?;
        if kind != kind::PUSH_PULL {
            return Err(DecodeError::new("push/pull state", 0, Problem::MessageType(kind)));
        }
        let mut state = Self::default();
        r.record(&Self::FIELDS, |r, field| {
            match field {
                "LTime" => state.ltime = ltime(r)?,
                "StatusLTimes" => state.status_ltimes = status_ltimes(r)?,
                "LeftMembers" => {
                    let len = names(r.array_header()?, r)?;
                    state.left_members = (0..len).map(|_| string(r)).collect::<Result<_, _>>()?;
                }
                "EventLTime" => state.event_ltime = ltime(r)?,
                "Events" => state.events = slots(r)?,
                _ => state.query_ltime = ltime(r)?,
            }
            Ok(())
        })
        .map_err(|error| error.within("push/pull state"))?;
        Ok(state)
    }

    /// The type byte and the body, events dense: real agents skip the 512 nils they send themselves.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::PUSH_PULL);
        w.map_header(6).str("EventLTime").uint(self.event_ltime.0);
        w.str("Events").array_header(self.events.len());
        for slot in &self.events {
            slot.write(&mut w);
        }
        w.str("LTime").uint(self.ltime.0);
        w.str("LeftMembers").array_header(self.left_members.len());
        for name in &self.left_members {
            w.str(name);
        }
        w.str("QueryLTime").uint(self.query_ltime.0);
        w.str("StatusLTimes").map_header(self.status_ltimes.len());
        for (name, ltime) in &self.status_ltimes {
            w.str(name).uint(ltime.0);
        }
        w.into_bytes()
    }
}

fn status_ltimes(r: &mut Reader<'_>) -> Result<BTreeMap<String, LamportTime>, DecodeError> {
    let len = names(r.map_header()?, r)?;
    (0..len).map(|_| Ok((string(r)?, ltime(r)?))).collect()
}

/// No list names more members than the push/pull's own.
fn names(len: usize, r: &Reader<'_>) -> Result<usize, DecodeError> {
    if len <= MAX_NODES { Ok(len) } else { Err(r.error(Problem::TooLong)) }
}

/// The slots that are not nil.
fn slots(r: &mut Reader<'_>) -> Result<Vec<RecentEvents>, DecodeError> {
    let (mut slots, mut room) = (Vec::new(), MAX_EVENTS);
    for _ in 0..r.array_header()? {
        if r.take_nil() {
            continue;
        }
        if take_one(&mut room) {
            slots.push(RecentEvents::decode(r, &mut room)?);
        } else {
            r.skip()?;
        }
    }
    Ok(slots)
}

/// Whether there was room for one more.
fn take_one(room: &mut usize) -> bool {
    let there = *room > 0;
    *room = room.saturating_sub(1);
    there
}

impl RecentEvents {
    /// Reads a slot; of its events as many as there is room for.
    fn decode(r: &mut Reader<'_>, room: &mut usize) -> Result<Self, DecodeError> {
        let mut slot = Self::default();
        r.record(&["LTime", "Events"], |r, field| {
            match field {
                "LTime" => slot.ltime = ltime(r)?,
                _ => {
                    slot.events = Vec::new();
                    for _ in 0..r.array_header()? {
                        if take_one(room) {
                            slot.events.push(event(r)?);
                        } else {
                            r.skip()?;
                        }
                    }
                }
            }
            Ok(())
        })?;
        Ok(slot)
    }

    fn write(&self, w: &mut Writer) {
        w.map_header(2).str("Events").array_header(self.events.len());
        for (name, payload) in &self.events {
            w.map_header(2).str("Name").str(name).str("Payload").bin_or_nil(payload);
        }
        w.str("LTime").uint(self.ltime.0);
    }
}

fn event(r: &mut Reader<'_>) -> Result<(String, Bytes), DecodeError> {
    let (mut name, mut payload) = (String::new(), Bytes::new());
    r.record(&["Name", "Payload"], |r, field| {
        match field {
            "Name" => name = string(r)?,
            _ => payload = blob(r)?,
        }
        Ok(())
    })?;
    Ok((name, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state of one field that is a list of `count` times `element`.
    fn list(field: &str, element: &[u8], count: usize) -> Vec<u8> {
        let mut w = Writer::message(kind::PUSH_PULL);
        w.map_header(1).str(field).array_header(count);
        [&w.into_vec()[..], &element.repeat(count)].concat()
    }

    #[test]
    fn elements_of_a_byte_each_do_not_take_fifty_times_the_memory() {
        let count = 4 << 20;
        let left = PushPullState::decode(&list("LeftMembers", b"\xa0", count));
        assert_eq!(left.map_err(|error| error.problem), Err(Problem::TooLong));

        let slots = PushPullState::decode(&list("Events", b"\x80", count)).expect("more slots than anybody keeps");
        assert!(slots.events.len() <= MAX_EVENTS);

        let slot = [&list("Events", b"\x80", count)[1..], b"".as_slice()].concat();
        let one = [&list("Events", b"", 1)[..], &slot].concat();
        let events = PushPullState::decode(&one).expect("more events than a slot keeps");
        assert!(events.events[0].events.len() <= MAX_EVENTS);
    }
}
