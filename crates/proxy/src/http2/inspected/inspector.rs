//! Frame after frame of what a client sends, as far as its violations show without decoding it.

use super::block::{Block, Section};
use super::patience::Patience;
use h2::Reason;

/// Reads a client's bytes in pieces of any size, from the preface on.
pub(super) struct Inspector {
    place: Place,
    start: Start,
    /// The field block that is under way: of HEADERS, until a frame says that it is the last.
    block: Option<Block>,
    /// The stream that was opened last.
    newest: u32,
    /// Whether there was a GOAWAY: the client is about to leave.
    pub(super) has_goodbye: bool,
    ended: Ended,
    patience: Patience,
}

/// What the next byte belongs to.
enum Place {
    /// What is not looked at, for so many bytes.
    Skipped(usize),
    /// The head of a frame, of which so many bytes are known.
    Head([u8; HEAD], usize),
    /// A frame of settings: how many bytes are left of it, and the present setting, of which so many are known.
    Settings(usize, [u8; SETTING], usize),
    Fragment(Fragment),
}

/// Whether the client has begun with its settings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Awaited,
    Made,
}

/// The payload of a frame with a piece of a field block (RFC 9113 section 6.2).
struct Fragment {
    /// Bytes of the payload to come, with all that is not of the block.
    left: usize,
    /// The bytes before the block: of its padding's length, and of a priority.
    before: Before,
    /// Bytes behind the block.
    padding: usize,
    order: Order,
}

/// What comes before a piece of a field block.
enum Before {
    /// The length of the padding, and then so many bytes of a priority.
    Padding(usize),
    /// So many bytes of a priority.
    Priority(usize),
}

/// Whether a piece of a field block is its last one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Last,
    MoreFollow,
}

/// A violation, and the bytes of a piece that may be read nonetheless.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) sound: usize,
    pub(super) reason: Reason,
}

impl Inspector {
    pub(super) fn new() -> Self {
        Self {
            // Whether it is the preface, the h2 library sees.
            place: Place::Skipped(PREFACE),
            start: Start::Awaited,
            block: None,
            newest: 0,
            has_goodbye: false,
            ended: Ended { streams: [u32::MAX; REMEMBERED], oldest: 0 },
            patience: Patience::new(),
        }
    }

    /// So much was written to the client at once.
    pub(super) fn note_written(&mut self, bytes: usize) {
        self.patience.earn_by_bytes(bytes);
    }

    /// So many pieces of answers were sent since.
    pub(super) fn note_pieces(&mut self, pieces: u32) {
        self.patience.earn_by_pieces(pieces);
    }

    /// Looks at the next bytes, and turns each GOAWAY among them into a frame that means nothing.
    ///
    /// # Errors
    /// With the first violation. Nothing is to be looked at behind it.
    pub(super) fn inspect(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let mut sound = 0;
        while sound < bytes.len() {
            sound += self.step(&mut bytes[sound..]).map_err(|reason| Violation { sound, reason })?;
        }
        Ok(())
    }

    /// Looks at one byte at least, and tells at how many.
    fn step(&mut self, bytes: &mut [u8]) -> Result<usize, Reason> {
        let count = match &mut self.place {
            Place::Skipped(left) => {
                let count = bytes.len().min(*left);
                *left -= count;
                count
            }
            Place::Head(head, known) => {
                let before = *known;
                let count = fill(head, known, bytes);
                if self.block.is_none() && head[KIND] == GOAWAY && (before..*known).contains(&KIND) {
                    // What was seen of the head stays as it came.
                    bytes[KIND - before] = UNKNOWN;
                }
                if *known == HEAD {
                    let head = Head::parse(head);
                    self.place = self.begin(&head)?;
                } else {
                    return Ok(count);
                }
                count
            }
            Place::Settings(left, setting, known) => {
                let count = fill(setting, known, bytes);
                *left -= count;
                if *known == SETTING {
                    check_setting(setting)?;
                    *known = 0;
                }
                count
            }
            Place::Fragment(fragment) => fragment.step(bytes, self.block.as_mut())?,
        };
        self.settle()?;
        Ok(count)
    }

    /// Goes on to the next frame if nothing is left of this one.
    fn settle(&mut self) -> Result<(), Reason> {
        match &self.place {
            Place::Skipped(0) | Place::Settings(0, ..) => {}
            Place::Fragment(Fragment { left: 0, order, .. }) => {
                if *order == Order::Last && !self.block.take().is_none_or(|block| block.is_whole()) {
                    return Err(Reason::COMPRESSION_ERROR);
                }
            }
            Place::Skipped(_) | Place::Settings(..) | Place::Head(..) | Place::Fragment(_) => return Ok(()),
        }
        self.place = Place::Head([0; HEAD], 0);
        Ok(())
    }

    /// Judges the head of a frame, and tells what its payload is.
    fn begin(&mut self, head: &Head) -> Result<Place, Reason> {
        if self.start == Start::Awaited && (head.kind != SETTINGS || head.has(ACK)) {
            // RFC 9113 section 3.4.
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.start = Start::Made;
        if self.block.is_some() && head.kind != CONTINUATION {
            // Nothing else may come now (section 6.10). The h2 library says so.
            return Ok(Place::Skipped(head.length));
        }
        if !head.has_right_length() {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        match head.kind {
            // Section 5.1. Whoever ended a stream knows it: no frame can have crossed another.
            DATA | HEADERS if self.ended.contains(head.stream) => return Err(Reason::STREAM_CLOSED),
            // Section 8.4. The h2 library waits for the rest of its fields first.
            PUSH_PROMISE => return Err(Reason::PROTOCOL_ERROR),
            // Section 6.8.
            GOAWAY if head.stream != 0 => return Err(Reason::PROTOCOL_ERROR),
            GOAWAY => self.has_goodbye = true,
            _ => {}
        }
        match head.kind {
            // Of these there are limits of other kinds.
            DATA | HEADERS | CONTINUATION | RST_STREAM => {}
            _ => self.patience.spend()?,
        }
        if head.kind == RST_STREAM || (matches!(head.kind, DATA | HEADERS) && head.has(END_STREAM)) {
            self.ended.add(head.stream);
        }
        Ok(match head.kind {
            SETTINGS => Place::Settings(head.length, [0; SETTING], 0),
            HEADERS => {
                let section = if head.stream > self.newest { Section::Head } else { Section::Trailers };
                self.newest = self.newest.max(head.stream);
                self.patience.earn_by_request();
                self.block = Some(Block::new(section));
                Place::Fragment(head.fragment())
            }
            CONTINUATION if self.block.is_some() => Place::Fragment(head.fragment()),
            _ => Place::Skipped(head.length),
        })
    }
}

impl Fragment {
    /// Looks at one byte at least, and tells at how many.
    fn step(&mut self, bytes: &[u8], block: Option<&mut Block>) -> Result<usize, Reason> {
        let count = match &mut self.before {
            Before::Padding(priority) => {
                self.padding = usize::from(bytes[0]);
                if self.padding + *priority > self.left - 1 {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                self.before = Before::Priority(*priority);
                1
            }
            Before::Priority(0) if self.left > self.padding => {
                let count = bytes.len().min(self.left - self.padding);
                if let Some(block) = block {
                    block.read(&bytes[..count])?;
                }
                count
            }
            Before::Priority(0) => bytes.len().min(self.left),
            Before::Priority(left) => {
                let count = bytes.len().min(*left);
                *left -= count;
                count
            }
        };
        self.left -= count;
        Ok(count)
    }
}

/// The head of a frame (section 4.1).
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn parse(bytes: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        Self {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a frame of this kind can be so long (sections 4.2 and 6). Too long for any, the h2 library finds by itself.
    fn has_right_length(&self) -> bool {
        match self.kind {
            DATA | HEADERS => self.length >= self.padding_and_priority(),
            PRIORITY => self.length == PRIORITY_LENGTH,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            SETTINGS if self.has(ACK) => self.length == 0,
            SETTINGS => self.length.is_multiple_of(SETTING),
            PING => self.length == 8,
            GOAWAY => self.length >= 8,
            _ => true,
        }
    }

    /// The bytes that its flags ask for.
    fn padding_and_priority(&self) -> usize {
        usize::from(self.has(PADDED)) + self.priority()
    }

    fn priority(&self) -> usize {
        if self.kind == HEADERS && self.has(HAS_PRIORITY) { PRIORITY_LENGTH } else { 0 }
    }

    /// What its payload is, if it has a piece of a field block.
    fn fragment(&self) -> Fragment {
        let priority = self.priority();
        let before = if self.kind == HEADERS && self.has(PADDED) {
            Before::Padding(priority)
        } else {
            Before::Priority(priority)
        };
        let order = if self.has(END_HEADERS) { Order::Last } else { Order::MoreFollow };
        Fragment { left: self.length, before, padding: 0, order }
    }
}

/// The streams that the client ended last. Of those before them the h2 library tells what it thinks best.
struct Ended {
    streams: [u32; REMEMBERED],
    oldest: usize,
}

impl Ended {
    fn contains(&self, stream: u32) -> bool {
        self.streams.contains(&stream)
    }

    fn add(&mut self, stream: u32) {
        self.streams[self.oldest] = stream;
        self.oldest = (self.oldest + 1) % REMEMBERED;
    }
}

/// No window may be larger than 2^31 - 1 (section 6.5.2).
fn check_setting(setting: &[u8; SETTING]) -> Result<(), Reason> {
    match *setting {
        [0, INITIAL_WINDOW_SIZE, 0x80..=0xff, ..] => Err(Reason::FLOW_CONTROL_ERROR),
        _ => Ok(()),
    }
}

/// Copies what is missing of a whole, and tells how much that was.
fn fill<const LENGTH: usize>(whole: &mut [u8; LENGTH], known: &mut usize, bytes: &[u8]) -> usize {
    let count = bytes.len().min(LENGTH - *known);
    whole[*known..*known + count].copy_from_slice(&bytes[..count]);
    *known += count;
    count
}

const PREFACE: usize = 24;
const HEAD: usize = 9;
/// The place of its kind in it.
const KIND: usize = 3;
const SETTING: usize = 6;
const PRIORITY_LENGTH: usize = 5;
const REMEMBERED: usize = 32;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// A kind that nobody has defined: such frames are ignored (section 4.1).
const UNKNOWN: u8 = 0xff;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const HAS_PRIORITY: u8 = 0x20;

const INITIAL_WINDOW_SIZE: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn conversation(frames: &[Vec<u8>]) -> Vec<u8> {
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b""), &frames.concat()].concat()
    }

    /// What is found in these bytes, whole, and in pieces of each size.
    fn inspect(bytes: &[u8]) -> Option<Reason> {
        let found = Inspector::new().inspect(&mut bytes.to_vec()).err();
        for size in 1..bytes.len().min(40) {
            let mut inspector = Inspector::new();
            let piecewise = bytes.chunks(size).find_map(|piece| inspector.inspect(&mut piece.to_vec()).err());
            let reason = |violation: &Option<Violation>| violation.as_ref().map(|violation| violation.reason);
            assert_eq!(reason(&piecewise), reason(&found), "in pieces of {size}");
        }
        found.map(|violation| violation.reason)
    }

    #[test]
    fn what_is_in_order_passes() {
        let block = [0x82, 0x84, 0x86, 0x41, 1, b'a', 0x40, 1, b'b', 0];
        let padded = [&[3, 0, 0, 0, 0, 16][..], &block, &[0; 3]].concat();
        let settings = [0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 2, 0, 0, 0, 0];
        let frames = [
            frame(SETTINGS, 0, 0, &settings),
            frame(SETTINGS, ACK, 0, b""),
            frame(PING, 0, 0, &[0; 8]),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            frame(PRIORITY, 0, 9, &[0; 5]),
            frame(0xfa, 0xff, 7, b"whatever"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &block),
            frame(RST_STREAM, 0, 1, &[0; 4]),
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 3, &padded),
            frame(DATA, PADDED, 3, &[0]),
            frame(DATA, 0, 3, b""),
            frame(DATA, 0, 3, b"body"),
            frame(HEADERS, END_STREAM, 3, &block[3..7]),
            frame(CONTINUATION, 0, 3, b""),
            frame(CONTINUATION, END_HEADERS, 3, &block[7..]),
            frame(GOAWAY, 0, 0, &[0; 9]),
        ];
        // Its trailers have a pseudo-field.
        assert_eq!(inspect(&conversation(&frames[..13])), None);
        assert_eq!(inspect(&conversation(&frames)), Some(Reason::PROTOCOL_ERROR));
        let sound = [&frames[..13], &[frame(HEADERS, END_STREAM, 3, &block[6..7])], &frames[14..]].concat();
        assert_eq!(inspect(&conversation(&sound)), None);
    }

    #[test]
    fn each_fault_has_its_reason() {
        let get = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x82, 0x84, 0x86]);
        let post = |stream| frame(HEADERS, END_HEADERS, stream, &[0x83, 0x84, 0x86]);
        let block = |bytes: &[u8]| vec![frame(HEADERS, END_HEADERS, 1, bytes)];
        let size = Reason::FRAME_SIZE_ERROR;
        let compression = Reason::COMPRESSION_ERROR;
        for (frames, reason) in [
            (vec![frame(SETTINGS, ACK, 0, &[0])], size),
            (vec![frame(SETTINGS, 0, 0, &[0; 7])], size),
            (vec![frame(PING, 0, 0, &[0; 6])], size),
            (vec![frame(PING, ACK, 0, &[0; 9])], size),
            (vec![frame(GOAWAY, 0, 0, &[0; 7])], size),
            (vec![frame(GOAWAY, 0, 1, &[0; 8])], Reason::PROTOCOL_ERROR),
            (vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])], size),
            (vec![post(1), frame(RST_STREAM, 0, 1, &[0; 3])], size),
            (vec![post(1), frame(PRIORITY, 0, 1, &[0; 4])], size),
            (vec![post(1), frame(DATA, PADDED, 1, &[])], size),
            (vec![frame(HEADERS, PADDED | HAS_PRIORITY, 1, &[0; 5])], size),
            (
                vec![frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0, 0, 4, 0x80, 0, 0, 0])],
                Reason::FLOW_CONTROL_ERROR,
            ),
            (vec![frame(PUSH_PROMISE, 0, 1, &[0, 0, 0, 2])], Reason::PROTOCOL_ERROR),
            (vec![frame(HEADERS, END_HEADERS | PADDED, 1, &[4, 0x82, 0x84, 0x86])], Reason::PROTOCOL_ERROR),
            (vec![get(1), frame(DATA, 0, 1, b"late")], Reason::STREAM_CLOSED),
            (vec![get(1), get(1)], Reason::STREAM_CLOSED),
            (vec![post(1), frame(RST_STREAM, 0, 1, &[0; 4]), post(1)], Reason::STREAM_CLOSED),
            (block(&[0x40]), compression),
            (block(&[0x80]), compression),
            (block(&[0x82, 0x20]), compression),
            (block(&[0x3f, 0xff, 0x7f]), compression),
            (block(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]), compression),
            (block(&[0x00, 1, b'a', 5, b'b']), compression),
            (
                vec![frame(HEADERS, 0, 1, &[0x00, 1, b'a', 5]), frame(CONTINUATION, END_HEADERS, 1, b"b")],
                compression,
            ),
            (vec![frame(HEADERS, 0, 1, &[0x40]), frame(CONTINUATION, END_HEADERS, 1, b"")], compression),
        ] {
            let bytes = conversation(&frames);
            assert_eq!(inspect(&bytes), Some(reason), "{frames:x?}");
        }
        let no_settings = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(PING, 0, 0, &[0; 8])].concat();
        assert_eq!(inspect(&no_settings), Some(Reason::PROTOCOL_ERROR));
    }

    #[test]
    fn pseudo_fields_in_trailers_are_found_in_every_spelling_that_names_them() {
        let trailers = |block: &[u8]| {
            let head = frame(HEADERS, END_HEADERS, 1, &[0x83, 0x84, 0x86]);
            inspect(&conversation(&[head, frame(HEADERS, END_HEADERS | END_STREAM, 1, block)]))
        };
        for block in [
            // By number, whole or by name; spelled out, plainly and in the code of RFC 7541 appendix B.
            &[0x83][..],
            &[0x08, 3, b'2', b'0', b'0'],
            &[0x41, 1, b'a'],
            &[0x00, 2, b':', b'x', 0],
            &[0x00, 0x82, 0xb9, 0x4f, 0],
            &[0x0f, 0x01, 1, b'x', 0x83],
        ] {
            assert_eq!(trailers(block), Some(Reason::PROTOCOL_ERROR), "{block:x?}");
        }
        for block in [&[0x00, 2, b'x', b':', 1, b':'][..], &[0x0f, 0x01, 1, b':'], &[0x90]] {
            assert_eq!(trailers(block), None, "{block:x?}");
        }
    }

    #[test]
    fn a_goodbye_is_noted_and_nothing_is_passed_on_but_that_there_was_a_frame() {
        let goaway = |kind| frame(kind, 0, 0, &[GOAWAY; 20]);
        let around =
            |middle| conversation(&[frame(PING, 0, 0, &[GOAWAY; 8]), middle, frame(DATA, 0, 7, &[7; 7])]);
        let (came, passed_on) = (around(goaway(GOAWAY)), around(goaway(UNKNOWN)));
        for size in 1..came.len() {
            let (mut inspector, mut bytes) = (Inspector::new(), came.clone());
            bytes.chunks_mut(size).for_each(|piece| inspector.inspect(piece).expect("it is in order"));
            assert_eq!(bytes, passed_on, "in pieces of {size}");
            assert!(inspector.has_goodbye);
        }
    }

    #[test]
    fn what_came_before_a_fault_may_be_read() {
        let sound = conversation(&[frame(PING, 0, 0, &[0; 8])]);
        let mut bytes = [&sound[..], &frame(PING, 0, 0, &[0; 7]), &frame(PING, 0, 0, &[0; 8])].concat();
        let violation = Inspector::new().inspect(&mut bytes).expect_err("it is too short");
        assert!((sound.len()..sound.len() + HEAD).contains(&violation.sound), "{violation:?}");
    }
}
