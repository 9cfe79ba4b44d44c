//! The user state of a push/pull (`Serf wire format §3.2`).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::message::{blob, ltime, string};
use super::{LamportTime, PushPullState, RecentEvents, kind};
use crate::wire::msgpack::{Reader, Writer};
use crate::wire::{DecodeError, Problem};

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
                    let len = r.array_header()?;
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
    let len = r.map_header()?;
    (0..len).map(|_| Ok((string(r)?, ltime(r)?))).collect()
}

/// The slots that are not nil.
fn slots(r: &mut Reader<'_>) -> Result<Vec<RecentEvents>, DecodeError> {
    let mut slots = Vec::new();
    for _ in 0..r.array_header()? {
        if !r.take_nil() {
            slots.push(RecentEvents::decode(r)?);
        }
    }
    Ok(slots)
}

impl RecentEvents {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut slot = Self::default();
        r.record(&["LTime", "Events"], |r, field| {
            match field {
                "LTime" => slot.ltime = ltime(r)?,
                _ => {
                    let len = r.array_header()?;
                    slot.events = (0..len).map(|_| event(r)).collect::<Result<_, _>>()?;
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
