//! Streams: two heads, then frames (`session §5`).

use std::fmt;

use smallvec::SmallVec;

use super::DropReason;
use crate::crypto::cipher::{Cipher, NONCE, TAG};
use crate::crypto::{Key, KeyId, Keyring};

/// First byte of a head.
pub const FORM: u8 = 0xe3;

/// Length of a head.
pub const HEAD: usize = 21;

/// Plaintext of every frame but the last.
const FRAME: usize = 65_536;

const FRAME_HEAD: usize = 4;

/// Set in the head of the last frame.
const LAST: u32 = 1 << 31;

/// Most plaintext of one direction.
pub const MAX_PLAIN: usize = 20 << 20;

/// What each side sends first: a key's identifier and 16 fresh bytes. Both heads are in both keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StreamHead([u8; HEAD]);

impl StreamHead {
    fn new(key: KeyId, random: [u8; 16]) -> Self {
        let mut head = [FORM; HEAD];
        head[1..5].copy_from_slice(&key.0);
        head[5..].copy_from_slice(&random);
        Self(head)
    }

    /// The head that `bytes` begin with, and what follows it; `None` as long as it is not complete.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, &[u8])>, DropReason> {
        match bytes.first() {
            Some(&FORM) | None => Ok(bytes.split_first_chunk().map(|(head, rest)| (Self(*head), rest))),
            Some(_) => Err(DropReason::Form),
        }
    }

    /// The key that the sender would use.
    pub fn key(&self) -> KeyId {
        let [_, a, b, c, d, ..] = self.0;
        KeyId([a, b, c, d])
    }

    /// As it is sent.
    pub fn as_bytes(&self) -> &[u8; HEAD] {
        &self.0
    }
}

/// The cipher of one direction.
pub struct StreamKey(Cipher);

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey")
    }
}

impl StreamKey {
    /// The key of a direction as it was derived.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Cipher::aes256(key))
    }

    /// The keys of the opener's and of the acceptor's frames.
    fn pair(key: &Key, opener: &StreamHead, acceptor: &StreamHead) -> [Self; 2] {
        [b"opener".as_slice(), b"acceptor"].map(|side| Self::new(&key.subkey(&[side, &opener.0, &acceptor.0])))
    }

    /// All frames of one direction. Each key seals one direction once.
    ///
    /// Fails with [`DropReason::FrameSize`] unless there are 1 byte to 20 MiB.
    pub fn seal(&self, label: &[u8], plain: &[u8]) -> Result<Vec<u8>, DropReason> {
        if plain.is_empty() || plain.len() > MAX_PLAIN {
            return Err(DropReason::FrameSize);
        }
        let frames = plain.len().div_ceil(FRAME);
        let mut out = Vec::with_capacity(plain.len() + frames * (FRAME_HEAD + TAG));
        for (number, text) in plain.chunks(FRAME).enumerate() {
            let last = if number + 1 == frames { LAST } else { 0 };
            let head = (text.len() as u32 | last).to_be_bytes();
            out.extend_from_slice(&head);
            let start = out.len();
            out.extend_from_slice(text);
            let tag = self.0.seal(&nonce(number as u64), &aad(head, label), &mut out[start..]);
            out.extend_from_slice(&tag);
        }
        Ok(out)
    }
}

fn nonce(number: u64) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    nonce[0] = FORM;
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn aad(head: [u8; FRAME_HEAD], label: &[u8]) -> SmallVec<[u8; 64]> {
    let mut aad = SmallVec::from_slice(&head);
    aad.extend_from_slice(label);
    aad
}

/// Opens the frames of one direction as they arrive. After an error the stream is to be closed.
pub struct FrameReader {
    /// More than one if keys share an identifier.
    keys: Vec<StreamKey>,
    /// Which of them opened the first frame, and has to open all.
    fitting: Option<usize>,
    label: Vec<u8>,
    /// What has arrived of the next frame.
    frame: Vec<u8>,
    number: u64,
    plain: Vec<u8>,
    complete: bool,
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FrameReader");
        shown.field("number", &self.number).field("complete", &self.complete).finish_non_exhaustive()
    }
}

impl FrameReader {
    /// A reader of the frames sealed with one of `keys`.
    pub fn new(keys: Vec<StreamKey>, label: &[u8]) -> Self {
        Self {
            keys,
            fitting: None,
            label: label.to_vec(),
            frame: Vec::new(),
            number: 0,
            plain: Vec::new(),
            complete: false,
        }
    }

    /// Takes the next bytes; `Some` once, with the joined plaintexts, when the last frame was opened.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        while !bytes.is_empty() {
            if self.complete {
                return Err(DropReason::AfterLast);
            }
            bytes = self.fill(FRAME_HEAD, bytes);
            let Some(&head) = self.frame.first_chunk::<FRAME_HEAD>() else { break };
            let (len, last) = self.check_head(head)?;
            bytes = self.fill(FRAME_HEAD + len + TAG, bytes);
            if self.frame.len() == FRAME_HEAD + len + TAG {
                self.open_frame(head)?;
                self.complete = last;
            }
        }
        Ok(self.complete.then(|| std::mem::take(&mut self.plain)).filter(|plain| !plain.is_empty()))
    }

    /// The stream has ended. Fails unless the last frame was there.
    pub fn end(&self) -> Result<(), DropReason> {
        if self.complete { Ok(()) } else { Err(DropReason::Truncated) }
    }

    /// Moves bytes until `len` of the frame are there, and returns those that were left over.
    fn fill<'a>(&mut self, len: usize, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(len.saturating_sub(self.frame.len()).min(bytes.len()));
        self.frame.extend_from_slice(taken);
        rest
    }

    /// Refuses a length before anything is read for it.
    fn check_head(&self, head: [u8; FRAME_HEAD]) -> Result<(usize, bool), DropReason> {
        let head = u32::from_be_bytes(head);
        let (len, last) = ((head & !LAST) as usize, head & LAST != 0);
        let allowed = if last { (1..=FRAME).contains(&len) } else { len == FRAME };
        if allowed && self.plain.len() + len <= MAX_PLAIN { Ok((len, last)) } else { Err(DropReason::FrameSize) }
    }

    fn open_frame(&mut self, head: [u8; FRAME_HEAD]) -> Result<(), DropReason> {
        let (aad, nonce) = (aad(head, &self.label), nonce(self.number));
        let (text, tag) = self.frame[FRAME_HEAD..].split_last_chunk_mut().ok_or(DropReason::Short)?;
        let mut opens = |at: &usize| self.keys[*at].0.open(&nonce, &aad, text, tag).is_ok();
        let fitting = match self.fitting {
            Some(at) => Some(at).filter(&mut opens),
            None => (0..self.keys.len()).find(&mut opens),
        };
        self.fitting = Some(fitting.ok_or(DropReason::NotOpened)?);
        self.plain.extend_from_slice(text);
        self.number += 1;
        self.frame.clear();
        Ok(())
    }
}

/// A stream that we have opened; the acceptor's head is awaited.
#[derive(Debug)]
pub struct Opening {
    head: StreamHead,
    key: Key,
    label: Vec<u8>,
}

impl Opening {
    pub(super) fn new(key: &Key, label: &[u8], random: [u8; 16]) -> Self {
        Self { head: StreamHead::new(key.id(), random), key: key.clone(), label: label.to_vec() }
    }

    /// What we send first, behind the label header.
    pub fn head(&self) -> &StreamHead {
        &self.head
    }

    /// The acceptor has answered. Fails with [`DropReason::KeyRefused`] if it does not use our key.
    pub fn accepted(self, acceptor: &StreamHead) -> Result<Exchange, DropReason> {
        if acceptor.key() != self.head.key() {
            return Err(DropReason::KeyRefused(acceptor.key()));
        }
        let [ours, theirs] = StreamKey::pair(&self.key, &self.head, acceptor);
        Ok(Exchange::new(self.key.id(), &self.label, vec![ours], vec![theirs]))
    }
}

/// Both directions of a stream.
#[derive(Debug)]
pub struct Exchange {
    key: KeyId,
    label: Vec<u8>,
    /// In the order of the reader's.
    ours: Vec<StreamKey>,
    theirs: FrameReader,
}

impl Exchange {
    fn new(key: KeyId, label: &[u8], ours: Vec<StreamKey>, theirs: Vec<StreamKey>) -> Self {
        Self { key, label: label.to_vec(), ours, theirs: FrameReader::new(theirs, label) }
    }

    pub(super) fn accept(
        ring: &Keyring,
        label: &[u8],
        opener: &StreamHead,
        random: [u8; 16],
    ) -> (StreamHead, Result<Self, DropReason>) {
        let id = opener.key();
        if ring.key(id).is_none() {
            return (StreamHead::new(ring.primary().id(), random), Err(DropReason::KeyUnknown(id)));
        }
        let head = StreamHead::new(id, random);
        let keys = ring.keys().iter().filter(|key| key.id() == id);
        let (theirs, ours) = keys.map(|key| StreamKey::pair(key, opener, &head).into()).unzip();
        (head, Ok(Self::new(id, label, ours, theirs)))
    }

    /// The key of both directions.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// See [`FrameReader::push`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        self.theirs.push(bytes)
    }

    /// See [`FrameReader::end`].
    pub fn end(&self) -> Result<(), DropReason> {
        self.theirs.end()
    }

    /// The frames of our direction, once; of an acceptor only after the opener's were read. See [`StreamKey::seal`].
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, DropReason> {
        self.ours[self.theirs.fitting.unwrap_or(0)].seal(&self.label, plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_stops_before_the_frame_that_would_pass_20_mib() {
        let head = |reader: &mut FrameReader, len: u32| reader.push(&(LAST | len).to_be_bytes());
        let after = |plain: usize| FrameReader { plain: vec![0; plain], ..FrameReader::new(Vec::new(), b"") };
        assert_eq!(head(&mut after(MAX_PLAIN - FRAME), FRAME as u32), Ok(None));
        assert_eq!(head(&mut after(MAX_PLAIN - 1), 1), Ok(None));
        assert_eq!(head(&mut after(MAX_PLAIN - FRAME + 1), FRAME as u32), Err(DropReason::FrameSize));
        assert_eq!(head(&mut after(MAX_PLAIN), 1), Err(DropReason::FrameSize));
    }
}
