//! What the command line says, laid over everything else.

use super::flag::{FLAGS, Flag, Sets, Takes};
use super::notice::Notice;
use super::secret::Secret;
use super::serf::{Extras, KEYS, Kind, Layer, repeated};
use super::tree::{Item, Origin, Value};

/// The flags of `weir agent` that were given, with their texts, which are kept as secrets because some are.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<(&'static Flag, Secret)>);

impl Overrides {
    /// Adds `--NAME TEXT`.
    ///
    /// # Errors
    /// There is no such flag, or it takes another kind of value.
    pub fn give(&mut self, name: &str, text: &str) -> Result<(), String> {
        let flag = Flag::find(name).ok_or_else(|| format!("there is no flag --{name}"))?;
        flag.read(text)?;
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

    /// Lists are appended in Serf mode, and replace a file's otherwise. Of a flag that does not repeat, the last one counts.
    pub(crate) fn layer(&self, extras: Extras, serf: bool) -> Layer {
        let mut layer = Layer::new(extras);
        for flag in &FLAGS {
            let of_flag = self.0.iter().filter(|(given, _)| given.name == flag.name);
            let given: Vec<&Secret> = of_flag.map(|(_, text)| text).collect();
            let counting = match given.split_last() {
                Some((last, earlier)) if flag.takes != Takes::Texts => {
                    layer.notices.extend(earlier.iter().filter_map(|lost| twice(flag, last, lost)));
                    &given[earlier.len()..]
                }
                Some(_) | None => &given[..],
            };
            counting.iter().for_each(|text| lay(&mut layer, flag, text));
        }
        if let Some(join) = layer.table.get_mut("gossip").and_then(|gossip| gossip.table_mut()?.get_mut("join")) {
            join.append = serf;
        }
        layer
    }
}

/// Which of two values of a flag counts; nothing if they are the same.
fn twice(flag: &Flag, kept: &Secret, lost: &Secret) -> Option<Notice> {
    let what = match flag.sets {
        Sets::Secret(_) => "the last one counts".to_owned(),
        _ => format!("{:?} counts, {:?} does not", kept.expose(), lost.expose()),
    };
    (kept != lost).then(|| repeated(&flag.typed(), &Origin::Flag(flag.typed()), &what))
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
