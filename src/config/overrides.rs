//! What the command line says, laid over everything else.

use super::flag::{FLAGS, Flag, Sets, Takes};
use super::secret::Secret;
use super::serf::{Extras, KEYS, Kind, Layer};
use super::tree::{Item, Origin, Value};

/// The flags of `weir agent` that were given, with their texts, which are kept as secrets because some are.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<(&'static Flag, Secret)>);

impl Overrides {
    /// Adds `--NAME TEXT`; of a flag that does not repeat, the last one counts.
    ///
    /// # Errors
    /// There is no such flag, or it takes another kind of value.
    pub fn give(&mut self, name: &str, text: &str) -> Result<(), String> {
        let flag = Flag::find(name).ok_or_else(|| format!("there is no flag --{name}"))?;
        flag.read(text)?;
        if flag.takes != Takes::Texts {
            self.0.retain(|(earlier, _)| earlier.name != name);
        }
        self.0.push((flag, Secret::new(text.to_owned())));
        Ok(())
    }

    /// Whether any flag was given.
    pub(crate) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether a flag was given that only weir has.
    pub(crate) fn is_ours(&self) -> bool {
        self.0.iter().any(|(flag, _)| flag.ours)
    }

    /// Lists are appended in Serf mode, and replace a file's otherwise.
    pub(crate) fn layer(&self, extras: Extras, serf: bool) -> Layer {
        let mut layer = Layer::new(extras);
        // What repeats comes last: `--tag role=…` wins over `--role`.
        let (lists, others): (Vec<&Flag>, Vec<&Flag>) = FLAGS.iter().partition(|flag| flag.takes == Takes::Texts);
        for flag in others.into_iter().chain(lists) {
            for (_, text) in self.0.iter().filter(|(given, _)| given.name == flag.name) {
                lay(&mut layer, flag, text);
            }
        }
        if let Some(join) = layer.table.get_mut("gossip").and_then(|gossip| gossip.table_mut()?.get_mut("join")) {
            join.append = serf;
        }
        layer
    }
}

/// Unlike in a file, an empty text is a value: `--snapshot ''` is none.
fn lay(layer: &mut Layer, flag: &Flag, text: &Secret) {
    let at = Origin::Flag(flag.typed());
    let value = || Item::new(flag.read(text.expose()).expect("it was read when it was given"), at.clone());
    match flag.sets {
        Sets::Key(key) => layer.put(key, value()),
        Sets::Not(key) => match value() {
            Item { value: Value::Bool(truth), .. } => layer.put(key, Item::new(Value::Bool(!truth), at)),
            other => layer.put(key, other),
        },
        Sets::Serf(key) => take(layer, flag, key, value()),
        Sets::Secret(place) => *place(&mut layer.extras) = Some((text.clone(), at)),
        Sets::Join(given) => {
            *given(&mut layer.extras) = true;
            layer.put("gossip.join", Item::appended([text.expose().to_owned()], &at));
        }
        Sets::Tag => layer.tag(text.expose(), &at),
        Sets::Handler => layer.handler(text.expose(), &at),
    }
}

/// Takes a flag over as Serf's key of that meaning.
fn take(layer: &mut Layer, flag: &Flag, key: &str, item: Item) {
    let (_, native, kind) = KEYS.iter().find(|(name, ..)| *name == key).expect("the flags name keys of Serf's");
    match (&item.value, kind) {
        (Value::Bool(false), _) => {}
        // What a file cannot say, a flag can: none at all.
        (Value::Text(text), Kind::Text) if text.is_empty() => layer.put(native, item),
        _ => layer.take(&flag.typed(), native, *kind, &item),
    }
}
