//! `[upstream.NAME.policy]` and slow start: what a state means for a server.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::config::reader::Section;
use crate::config::tree::{Item, Value};
use crate::config::value::{Written, Wrong, words};
use crate::error::Trouble;
use crate::upstream::{AgentLost, Flap, MinHealthy, OnDead, OnEmpty, Policy, SlowStart, Warning};

words!(Warning, "\"in\", \"half\" or \"down\"", ("in", In), ("half", Half), ("down", Down));
words!(AgentLost, "\"probe\" or \"gone\"", ("probe", Probe), ("gone", Gone));
words!(OnDead, "\"retry\" or \"wait\"", ("retry", Retry), ("wait", Wait));
words!(OnEmpty, "\"keep\" or \"error\"", ("keep", Keep), ("error", Error));

/// Longest time that a server may be held down, or may take to start.
const HOUR: Duration = Duration::from_secs(3600);

/// `[upstream.NAME.policy]`.
pub(super) fn read(section: &Section<'_>) -> Policy {
    let default = Policy::default();
    Policy {
        warning: section.key("warning").or(default.warning),
        agent_lost: section.key("agent_lost").or(default.agent_lost),
        on_dead: section.key("on_dead").or(default.on_dead),
        no_warm_up: !section.key("warm_up").or(true),
        on_empty: section.key("on_empty").or(default.on_empty),
        min_healthy: section.key("min_healthy").or(default.min_healthy),
        flap: section.section("flap", |section| read_flap(section, default.flap)),
    }
}

fn read_flap(section: &Section<'_>, default: Flap) -> Flap {
    let second = Duration::from_secs(1);
    Flap {
        changes: section.key("changes").within(0, 100).or(default.changes),
        within: section.key("within").within(second, HOUR).or(default.within),
        hold_max: section.key("hold_max").within(second, HOUR * 24).or(default.hold_max),
    }
}

/// `slow_start`, `slow_start_steps` and `slow_start_aggression` of `[upstream.NAME]`.
pub(super) fn read_slow_start(section: &Section<'_>) -> SlowStart {
    let default = SlowStart::default();
    SlowStart {
        over: section.key("slow_start").within(Duration::ZERO, HOUR).or(default.over),
        steps: section.key("slow_start_steps").within(1, 8).or(default.steps),
        aggression: section.key("slow_start_aggression").within(0.1, 10.0).or(default.aggression),
    }
}

/// A share, `"50%"`, or a count.
impl Written for MinHealthy {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        let wanted = "a share, \"50%\", or a count";
        match &item.value {
            Value::Int(_) => u32::read(item).map(Self::Count),
            Value::Text(text) => text
                .strip_suffix('%')
                .and_then(|share| share.parse().ok())
                .filter(|share| *share <= 100)
                .map(Self::Percent)
                .ok_or_else(|| item.wrong(Trouble::new("is not a share of 0% to 100%", format!("write {wanted}")))),
            Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(item.not(wanted))
            }
        }
    }

    fn write(&self) -> Json {
        match self {
            Self::Percent(share) => format!("{share}%").into(),
            Self::Count(count) => (*count).into(),
        }
    }

    fn schema() -> Json {
        let share = json!({ "type": "string", "pattern": "^(100|[0-9]?[0-9])%$" });
        json!({ "anyOf": [share, u32::schema()] })
    }
}
