//! One content coding of a body, undone step by step as its bytes arrive.

use std::io::Write as _;
use std::mem;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf as _, BytesMut};
use flate2::write::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use crate::verify::is_image;

/// The most bytes that one step decodes, so that a bomb costs no more memory than another body.
const STEP_BYTES: usize = 32 * 1024;

/// How many bytes are looked at for an image's signature.
const SNIFFED_BYTES: usize = 16;

/// What every member of a gzip file begins with (RFC 1952, 2.3.1): two fixed bytes, and deflate.
const GZIP_MEMBER: [u8; 3] = [0x1f, 0x8b, 8];

/// A content coding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// With the header and checksum of zlib, as RFC 9110 (8.4.1.2) has it, or without.
    Deflate,
    Brotli,
    /// One that is not undone: the bytes are taken if they are plain text all the same.
    Unknown(&'static str),
}

/// The bytes do not follow the coding, or end before it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodingError {
    pub(super) coding: Coding,
}

/// One coding of a body.
pub(super) struct Layer {
    coding: Coding,
    input: BytesMut,
    /// No further input will come.
    has_ended: bool,
    was_packed: bool,
    /// Whether text that is not packed is taken, against what the header says.
    takes_text: bool,
    state: State,
}

enum State {
    /// Nothing was decoded yet.
    Start,
    GzipMember(Box<GzDecoder<Vec<u8>>>),
    /// After a member of a gzip file: another one, or bytes that mean nothing.
    BetweenMembers,
    Stream(Stream),
    /// An image or text that is not packed, against what the header says.
    Plain,
    /// After the end of the coding. Browsers ignore what follows there; some servers pad.
    Trailing,
    Done,
}

/// What the next step changes.
enum Step {
    /// It is to be repeated, with the input that is left.
    Same,
    To(State),
    /// Input is missing.
    Wait,
}

/// A coding without members.
struct Stream {
    decoder: StreamDecoder,
    /// The last step filled its room, so there may be more without further input.
    may_have_more: bool,
}

enum StreamDecoder {
    Deflate(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
}

/// What one step of a decoder brought.
struct Decoded {
    bytes: Vec<u8>,
    used: usize,
    is_end: bool,
}

impl Coding {
    /// Whether it can be undone.
    pub(super) fn is_known(self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Unknown(name) => name,
        }
    }
}

impl Layer {
    pub(super) fn new(coding: Coding, takes_text: bool) -> Self {
        Self {
            coding,
            input: BytesMut::new(),
            has_ended: false,
            was_packed: true,
            takes_text,
            state: State::Start,
        }
    }

    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    pub(super) fn push(&mut self, input: &[u8]) {
        self.input.extend_from_slice(input);
    }

    /// No further input will come.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the last byte was decoded.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether further input means nothing.
    pub(super) fn ignores_input(&self) -> bool {
        matches!(self.state, State::Trailing | State::Done)
    }

    /// Takes what is left for bytes behind the end.
    pub(super) fn ignore_rest(&mut self) {
        if !self.ignores_input() {
            self.state = State::Trailing;
        }
    }

    /// Whether the coding came to its own end, so that no byte is missing. A gzip file may have had
    /// further members.
    pub(super) fn is_proven(&self) -> bool {
        self.is_done() && self.was_packed && self.coding != Coding::Gzip
    }

    /// Decodes at most [`STEP_BYTES`] bytes; whether anything changed. Nothing changes where input
    /// is missing, and after the end.
    ///
    /// # Errors
    ///
    /// When the input is damaged, or ended too early.
    pub(super) fn step(&mut self, output: &mut BytesMut) -> Result<bool, CodingError> {
        let error = CodingError {
            coding: self.coding,
        };
        match self.next(output).ok_or(error)? {
            // What waits for input that will not come was cut.
            Step::Wait if self.has_ended && !self.is_done() => Err(error),
            Step::Wait => Ok(false),
            Step::Same => Ok(true),
            Step::To(state) => {
                self.state = state;
                Ok(true)
            }
        }
    }

    /// `None` where the input is damaged.
    fn next(&mut self, output: &mut BytesMut) -> Option<Step> {
        let Self {
            coding,
            input,
            has_ended,
            was_packed,
            takes_text,
            state,
        } = self;
        let step = match state {
            State::Start if input.len() < SNIFFED_BYTES && !*has_ended => Step::Wait,
            // A body without bytes is no file of any coding; browsers take it for an empty one.
            State::Start if input.is_empty() => {
                *was_packed = false;
                Step::To(State::Done)
            }
            State::Start if is_image(input) || (*takes_text && begins_like_text(input)) => {
                *was_packed = false;
                Step::To(State::Plain)
            }
            State::Start => Step::To(State::decoding(*coding, input)?),
            State::GzipMember(member) if input.is_empty() => {
                // The member ends with the input, or is cut.
                if *has_ended {
                    member.try_finish().ok()?;
                    output.extend_from_slice(member.get_ref());
                    Step::To(State::Done)
                } else {
                    Step::Wait
                }
            }
            State::GzipMember(member) => {
                let used = member.write(input).ok()?;
                input.advance(used);
                // The decoder takes nothing after its member's end.
                if used == 0 {
                    member.try_finish().ok()?;
                }
                output.extend_from_slice(&mem::take(member.get_mut()));
                match used {
                    0 => Step::To(State::BetweenMembers),
                    _ => Step::Same,
                }
            }
            State::BetweenMembers if input.len() < GZIP_MEMBER.len() && !*has_ended => Step::Wait,
            State::BetweenMembers if input.starts_with(&GZIP_MEMBER) => {
                Step::To(State::decoding(Coding::Gzip, input)?)
            }
            State::BetweenMembers => Step::To(State::Trailing),
            State::Stream(stream) if input.is_empty() && !stream.may_have_more => Step::Wait,
            State::Stream(stream) => {
                let Decoded {
                    bytes,
                    used,
                    is_end,
                } = stream.decoder.decode(input)?;
                input.advance(used);
                stream.may_have_more = bytes.len() == STEP_BYTES;
                output.extend_from_slice(&bytes);
                match is_end {
                    true => Step::To(State::Trailing),
                    false if used == 0 && bytes.is_empty() => Step::Wait,
                    false => Step::Same,
                }
            }
            State::Plain | State::Trailing if input.is_empty() && *has_ended => {
                Step::To(State::Done)
            }
            State::Plain | State::Trailing if input.is_empty() => Step::Wait,
            State::Plain => {
                output.extend_from_slice(&input.split());
                Step::Same
            }
            State::Trailing => {
                input.clear();
                Step::Same
            }
            State::Done => Step::Wait,
        };
        Some(step)
    }
}

impl State {
    /// The state of a body that begins with `input`; `None` if that cannot be one of the coding.
    fn decoding(coding: Coding, input: &[u8]) -> Option<Self> {
        let decoder = match coding {
            Coding::Gzip => {
                let member = || Self::GzipMember(Box::new(GzDecoder::new(Vec::new())));
                return input.starts_with(&GZIP_MEMBER).then(member);
            }
            Coding::Deflate => StreamDecoder::Deflate(Decompress::new(begins_zlib(input))),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                // "Strict" is without the large windows that only files outside HTTP may have: up
                // to a gigabyte.
                let state = BrotliState::new_strict(alloc(), alloc(), alloc());
                StreamDecoder::Brotli(Box::new(state))
            }
            Coding::Unknown(_) => return None,
        };
        Some(Self::Stream(Stream {
            decoder,
            may_have_more: false,
        }))
    }
}

/// Whether the bytes begin like text in UTF-8. No packed file does: each format has a control
/// character or a byte that is not UTF-8 among its first ones.
fn begins_like_text(input: &[u8]) -> bool {
    let start = &input[..input.len().min(SNIFFED_BYTES)];
    let text = match str::from_utf8(start) {
        Ok(text) => text,
        // The last character is cut.
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text.chars()
        .all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
}

/// Whether the bytes begin with a header of zlib (RFC 1950, 2.2): deflate, a window of at most
/// 32 KB, and a checksum. Several servers send deflate without it, and browsers take both.
fn begins_zlib(input: &[u8]) -> bool {
    match *input {
        [method, flags, ..] => {
            let check = u16::from_be_bytes([method, flags]);
            method & 0x0f == 8 && method >> 4 <= 7 && check.is_multiple_of(31)
        }
        _ => false,
    }
}

impl StreamDecoder {
    /// Decodes at most [`STEP_BYTES`] bytes; `None` where the input is damaged.
    fn decode(&mut self, input: &[u8]) -> Option<Decoded> {
        match self {
            Self::Deflate(decoder) => {
                let before = decoder.total_in();
                let mut bytes = Vec::with_capacity(STEP_BYTES);
                let status = decoder
                    .decompress_vec(input, &mut bytes, FlushDecompress::None)
                    .ok()?;
                let used = usize::try_from(decoder.total_in() - before).ok()?;
                Some(Decoded {
                    bytes,
                    used,
                    is_end: status == Status::StreamEnd,
                })
            }
            Self::Brotli(decoder) => {
                let mut bytes = vec![0; STEP_BYTES];
                let (mut left, mut used) = (input.len(), 0);
                let (mut room, mut filled, mut total) = (bytes.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut left,
                    &mut used,
                    input,
                    &mut room,
                    &mut filled,
                    &mut bytes,
                    &mut total,
                    decoder,
                );
                bytes.truncate(filled);
                let is_end = match result {
                    BrotliResult::ResultSuccess => true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => false,
                    BrotliResult::ResultFailure => return None,
                };
                Some(Decoded {
                    bytes,
                    used,
                    is_end,
                })
            }
        }
    }
}
