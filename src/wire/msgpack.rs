//! msgpack over a slice: what Serf and memberlist write, and everything they accept (`memberlist §2.1`,
//! `serf §1.2`).
//!
//! Reading is lenient, since real agents are: any integer width, strings as raw, str or bin, nil for any zero value, byte
//! strings as arrays of numbers, records as maps or arrays. Writing is strict, since older agents crash on surprises.

use std::borrow::Cow;

use super::{DecodeError, Problem};

/// Deepest nesting of a value that is skipped.
const MAX_DEPTH: u8 = 8;

/// Reads values from a slice, borrowing strings and bytes from it.
///
/// A reader that failed stands somewhere inside the broken value; [`Clone`] one to be able to go back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

/// The first bytes of a value: all of a scalar, the length of anything else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head {
    Nil,
    Bool(bool),
    Uint(u64),
    /// Below zero.
    Negative(i64),
    Float(f64),
    Raw(usize),
    Array(usize),
    Map(usize),
    Ext(usize),
}

impl<'a> Reader<'a> {
    /// A reader at the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self::at(input, 0)
    }

    /// A reader that goes on at an earlier reader's [`offset`](Self::offset).
    pub fn at(input: &'a [u8], at: usize) -> Self {
        Self { input, at }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// An error about the value that ends here.
    pub fn error(&self, problem: Problem) -> DecodeError {
        DecodeError::new("", self.at, problem)
    }

    /// The next `len` bytes as they are.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, _) = self.rest().split_at_checked(len).ok_or_else(|| self.error(Problem::Truncated))?;
        self.at += len;
        Ok(taken)
    }

    /// The next byte as it is, a message's type for example.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.be::<1>().map(|[byte]| byte)
    }

    fn be<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, _) = self.rest().split_first_chunk().ok_or_else(|| self.error(Problem::Truncated))?;
        self.at += N;
        Ok(*taken)
    }

    fn len8(&mut self) -> Result<usize, DecodeError> {
        self.be::<1>().map(|[len]| len.into())
    }

    fn len16(&mut self) -> Result<usize, DecodeError> {
        self.be().map(|len| u16::from_be_bytes(len).into())
    }

    fn len32(&mut self) -> Result<usize, DecodeError> {
        self.be().map(|len| u32::from_be_bytes(len) as usize)
    }

    /// The next value's kind, and its length where it has one; what it holds is what comes next.
    pub(crate) fn head(&mut self) -> Result<Head, DecodeError> {
        Ok(match self.byte()? {
            marker @ 0x00..=0x7f => Head::Uint(marker.into()),
            marker @ 0x80..=0x8f => Head::Map((marker & 0x0f).into()),
            marker @ 0x90..=0x9f => Head::Array((marker & 0x0f).into()),
            marker @ 0xa0..=0xbf => Head::Raw((marker & 0x1f).into()),
            0xc0 => Head::Nil,
            marker @ 0xc1 => return Err(self.error(Problem::Marker(marker))),
            0xc2 => Head::Bool(false),
            0xc3 => Head::Bool(true),
            0xc4 | 0xd9 => Head::Raw(self.len8()?),
            0xc5 | 0xda => Head::Raw(self.len16()?),
            0xc6 | 0xdb => Head::Raw(self.len32()?),
            0xc7 => Head::Ext(self.len8()? + 1),
            0xc8 => Head::Ext(self.len16()? + 1),
            0xc9 => Head::Ext(self.len32()?.saturating_add(1)),
            0xca => Head::Float(f32::from_be_bytes(self.be()?).into()),
            0xcb => Head::Float(f64::from_be_bytes(self.be()?)),
            0xcc => Head::Uint(self.byte()?.into()),
            0xcd => Head::Uint(u16::from_be_bytes(self.be()?).into()),
            0xce => Head::Uint(u32::from_be_bytes(self.be()?).into()),
            0xcf => Head::Uint(u64::from_be_bytes(self.be()?)),
            0xd0 => signed(i8::from_be_bytes(self.be()?).into()),
            0xd1 => signed(i16::from_be_bytes(self.be()?).into()),
            0xd2 => signed(i32::from_be_bytes(self.be()?).into()),
            0xd3 => signed(i64::from_be_bytes(self.be()?)),
            marker @ 0xd4..=0xd8 => Head::Ext((1 << (marker - 0xd4)) + 1),
            0xdc => Head::Array(self.len16()?),
            0xdd => Head::Array(self.len32()?),
            0xde => Head::Map(self.len16()?),
            0xdf => Head::Map(self.len32()?),
            marker @ 0xe0..=0xff => Head::Negative(i8::from_be_bytes([marker]).into()),
        })
    }

    /// The error for a value of the wrong kind that begins at `start`.
    fn wrong(&self, start: usize) -> DecodeError {
        DecodeError::new("", start, Problem::Marker(self.input[start]))
    }

    /// A number of at most 64 bits, in any width; nil is 0.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Uint(value) => Ok(value),
            Head::Nil => Ok(0),
            Head::Negative(_) => Err(DecodeError::new("", start, Problem::Range)),
            _ => Err(self.wrong(start)),
        }
    }

    fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        let start = self.at;
        T::try_from(self.u64()?).map_err(|_| DecodeError::new("", start, Problem::Range))
    }

    /// A number of at most 32 bits, in any width; nil is 0.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.narrow()
    }

    /// A number of at most 16 bits, in any width; nil is 0.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.narrow()
    }

    /// A number of at most 8 bits, in any width; nil is 0.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.narrow()
    }

    /// A count or length of at most `max`; nil is 0.
    pub fn length(&mut self, max: usize) -> Result<usize, DecodeError> {
        let start = self.at;
        let length: usize = self.narrow()?;
        if length <= max { Ok(length) } else { Err(DecodeError::new("", start, Problem::TooLong)) }
    }

    /// A signed number, in any width; nil is 0.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Uint(value) => i64::try_from(value).map_err(|_| DecodeError::new("", start, Problem::Range)),
            Head::Negative(value) => Ok(value),
            Head::Nil => Ok(0),
            _ => Err(self.wrong(start)),
        }
    }

    /// A float, in either width or as an integer; nil is 0.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Float(value) => Ok(value),
            Head::Uint(value) => Ok(value as f64),
            Head::Negative(value) => Ok(value as f64),
            Head::Nil => Ok(0.0),
            _ => Err(self.wrong(start)),
        }
    }

    /// A truth value; nil is false.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Bool(value) => Ok(value),
            Head::Nil => Ok(false),
            _ => Err(self.wrong(start)),
        }
    }

    /// A string that need not be UTF-8, in any form but an array; nil is empty.
    pub fn raw(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Raw(len) => self.take(len),
            Head::Nil => Ok(&[]),
            _ => Err(self.wrong(start)),
        }
    }

    /// A string; nil is empty.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        std::str::from_utf8(self.raw()?).map_err(|_| DecodeError::new("", start, Problem::Utf8))
    }

    /// Bytes, borrowed unless they were written as an array of numbers; nil is empty.
    pub fn bytes(&mut self) -> Result<Cow<'a, [u8]>, DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Raw(len) => self.take(len).map(Cow::Borrowed),
            Head::Nil => Ok(Cow::Borrowed(&[])),
            Head::Array(len) => (0..len).map(|_| self.u8()).collect::<Result<Vec<u8>, _>>().map(Cow::Owned),
            _ => Err(self.wrong(start)),
        }
    }

    /// The number of elements that follow; nil is 0. Not to be trusted for an allocation.
    pub fn array_header(&mut self) -> Result<usize, DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Array(len) => Ok(len),
            Head::Nil => Ok(0),
            _ => Err(self.wrong(start)),
        }
    }

    /// The number of key and value pairs that follow; nil is 0. Not to be trusted for an allocation.
    pub fn map_header(&mut self) -> Result<usize, DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Map(len) => Ok(len),
            Head::Nil => Ok(0),
            _ => Err(self.wrong(start)),
        }
    }

    /// Passes over nil, if it is what comes next.
    pub fn take_nil(&mut self) -> bool {
        let nil = self.rest().first() == Some(&0xc0);
        self.at += usize::from(nil);
        nil
    }

    /// Passes over a value of any kind, nested at most eight deep.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.skip_nested(MAX_DEPTH)
    }

    fn skip_nested(&mut self, depth: u8) -> Result<(), DecodeError> {
        let (values, more) = match self.head()? {
            Head::Nil | Head::Bool(_) | Head::Uint(_) | Head::Negative(_) | Head::Float(_) => return Ok(()),
            Head::Raw(len) | Head::Ext(len) => return self.take(len).map(drop),
            Head::Array(len) => (len, 0),
            Head::Map(len) => (len, len),
        };
        let depth = depth.checked_sub(1).ok_or_else(|| self.error(Problem::Depth))?;
        for _ in 0..values {
            self.skip_nested(depth)?;
        }
        for _ in 0..more {
            self.skip_nested(depth)?;
        }
        Ok(())
    }

    /// Reads a record: a map from field name to value, or an array of values in the order of `fields`.
    ///
    /// `each` is called for every field of `fields` that is present, in the order of the input, and has to read or
    /// [`skip`](Self::skip) its value; a field that comes twice is read twice. Other fields are skipped, nil is a record
    /// without fields. Errors carry the name of their field.
    pub fn record(
        &mut self,
        fields: &[&'static str],
        mut each: impl FnMut(&mut Self, &'static str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let start = self.at;
        match self.head()? {
            Head::Nil => {}
            Head::Map(len) => {
                for _ in 0..len {
                    let key = self.raw()?;
                    match fields.iter().find(|field| field.as_bytes() == key) {
                        Some(field) => each(self, field).map_err(|error| error.within(field))?,
                        None => self.skip()?,
                    }
                }
            }
            Head::Array(len) => {
                for index in 0..len {
                    match fields.get(index) {
                        Some(field) => each(self, field).map_err(|error| error.within(field))?,
                        None => self.skip()?,
                    }
                }
            }
            _ => return Err(self.wrong(start)),
        }
        Ok(())
    }
}

fn signed(value: i64) -> Head {
    u64::try_from(value).map_or(Head::Negative(value), Head::Uint)
}

/// Which of the two msgpack specifications to write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// The old one, of all gossip: strings and bytes alike are raw. Real agents refuse anything else in places.
    Raw,
    /// The new one, with str8 and bin.
    Ext,
}

/// Writes values one after the other. A map's or array's header is followed by as many calls as it announces.
#[derive(Clone, Debug)]
pub struct Writer {
    out: Vec<u8>,
    dialect: Dialect,
}

impl Writer {
    /// An empty writer.
    pub fn new(dialect: Dialect) -> Self {
        Self { out: Vec::new(), dialect }
    }

    /// A writer in the old dialect with a message's type byte in front.
    pub fn message(kind: u8) -> Self {
        let mut out = Vec::with_capacity(128);
        out.push(kind);
        Self { out, dialect: Dialect::Raw }
    }

    /// What was written.
    pub fn into_vec(self) -> Vec<u8> {
        self.out
    }

    /// What was written.
    pub fn into_bytes(self) -> bytes::Bytes {
        self.out.into()
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Appends bytes that are no msgpack, or already are.
    pub fn verbatim(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// nil.
    pub fn nil(&mut self) -> &mut Self {
        self.verbatim(&[0xc0])
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.verbatim(&[0xc2 | u8::from(value)])
    }

    /// An unsigned number in its shortest form.
    pub fn uint(&mut self, value: impl Into<u64>) -> &mut Self {
        let value = value.into();
        match value {
            0..=0x7f => self.verbatim(&[value as u8]),
            0x80..=0xff => self.verbatim(&[0xcc, value as u8]),
            0x100..=0xffff => self.tagged(0xcd, &(value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.tagged(0xce, &(value as u32).to_be_bytes()),
            _ => self.tagged(0xcf, &value.to_be_bytes()),
        }
    }

    /// A signed number in its shortest form; unsigned unless negative, as peers of every age read it.
    pub fn int(&mut self, value: i64) -> &mut Self {
        match value {
            0.. => self.uint(value as u64),
            -0x20..=-1 => self.verbatim(&(value as i8).to_be_bytes()),
            -0x80..-0x20 => self.tagged(0xd0, &(value as i8).to_be_bytes()),
            -0x8000..-0x80 => self.tagged(0xd1, &(value as i16).to_be_bytes()),
            -0x8000_0000..-0x8000 => self.tagged(0xd2, &(value as i32).to_be_bytes()),
            _ => self.tagged(0xd3, &value.to_be_bytes()),
        }
    }

    /// A float of 64 bits.
    pub fn f64(&mut self, value: f64) -> &mut Self {
        self.tagged(0xcb, &value.to_be_bytes())
    }

    /// A string.
    pub fn str(&mut self, value: &str) -> &mut Self {
        match (value.len(), self.dialect) {
            (len @ 0..=0x1f, _) => self.verbatim(&[0xa0 | len as u8]),
            (len @ 0x20..=0xff, Dialect::Ext) => self.verbatim(&[0xd9, len as u8]),
            (len, _) => self.long(len, 0xda, 0xdb),
        }
        .verbatim(value.as_bytes())
    }

    /// Bytes, empty ones too.
    pub fn bin(&mut self, value: &[u8]) -> &mut Self {
        match (value.len(), self.dialect) {
            (len @ 0..=0x1f, Dialect::Raw) => self.verbatim(&[0xa0 | len as u8]),
            (len, Dialect::Raw) => self.long(len, 0xda, 0xdb),
            (len @ 0..=0xff, Dialect::Ext) => self.verbatim(&[0xc4, len as u8]),
            (len, Dialect::Ext) => self.long(len, 0xc5, 0xc6),
        }
        .verbatim(value)
    }

    /// Bytes, nil if there are none: what Go writes for a byte slice that nobody filled.
    pub fn bin_or_nil(&mut self, value: &[u8]) -> &mut Self {
        if value.is_empty() { self.nil() } else { self.bin(value) }
    }

    /// Announces `len` elements.
    pub fn array_header(&mut self, len: usize) -> &mut Self {
        if len < 16 { self.verbatim(&[0x90 | len as u8]) } else { self.long(len, 0xdc, 0xdd) }
    }

    /// Announces `len` pairs of key and value.
    pub fn map_header(&mut self, len: usize) -> &mut Self {
        if len < 16 { self.verbatim(&[0x80 | len as u8]) } else { self.long(len, 0xde, 0xdf) }
    }

    fn tagged(&mut self, marker: u8, be: &[u8]) -> &mut Self {
        self.out.push(marker);
        self.verbatim(be)
    }

    fn long(&mut self, len: usize, marker16: u8, marker32: u8) -> &mut Self {
        match u16::try_from(len) {
            Ok(len) => self.tagged(marker16, &len.to_be_bytes()),
            Err(_) => {
                let len = u32::try_from(len).expect("no value of ours comes near 4 GiB");
                self.tagged(marker32, &len.to_be_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests;
