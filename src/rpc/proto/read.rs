//! Records, and lists and maps of strings in the shapes that clients send.

use std::collections::BTreeMap;

use crate::wire::DecodeError;
use crate::wire::msgpack::Reader;

/// Reads a record: each field by its name, in the order of declaration, into its place.
macro_rules! read_fields {
    ($reader:expr, $($name:literal => $($place:ident).+ = $read:path),+ $(,)?) => {
        $reader.record(&[$($name),+], |reader, field| {
            match field {
                $($name => $($place).+ = $read(reader)?,)+
                _ => reader.skip()?,
            }
            Ok(())
        })?
    };
}
pub(super) use read_fields;

/// Text that need not be UTF-8, for what is only shown or compared.
pub(super) fn lossy(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    Ok(String::from_utf8_lossy(reader.raw()?).into_owned())
}

/// Strings; a map is taken as key, value, key, value (`rpc §2`: one client library sends `DeleteTags` so).
pub(super) fn strings(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let as_map = reader.clone().map_header().is_ok() && !reader.clone().take_nil();
    let len = if as_map { reader.map_header()?.saturating_mul(2) } else { reader.array_header()? };
    (0..len).map(|_| reader.str().map(str::to_owned)).collect()
}

/// A map of strings; the last of equal keys counts.
pub(super) fn string_map(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>, DecodeError> {
    let len = reader.map_header()?;
    (0..len).map(|_| Ok((reader.str()?.to_owned(), reader.str()?.to_owned()))).collect()
}
