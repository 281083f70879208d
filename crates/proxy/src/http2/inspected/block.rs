//! The shape of a field block (RFC 7541 section 6), without its meaning: that is for the h2 library, which keeps the table.

use h2::Reason;

/// Reads a field block in pieces of any size.
pub(super) struct Block {
    section: Section,
    place: Place,
}

/// What the fields of a block are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Head,
    /// Without pseudo-fields (RFC 9113 section 8.1). The library drops them, as if they were not there. One that is named by
    /// a field of its kind before it, in the table of the connection, is not recognised here.
    Trailers,
}

/// What the next byte belongs to.
#[derive(Clone, Copy)]
enum Place {
    /// The first field, or a size of the table before it.
    Start,
    Field,
    /// The length of a text.
    Length(Text),
    /// A number that goes on (RFC 7541 section 5.1), and by which power of two.
    Number(Number, usize, u32),
    /// The first byte of a name, which is so long.
    Name(Coding, usize),
    /// A text of which so many bytes are left.
    Inside(Text, usize),
}

#[derive(Clone, Copy)]
enum Text {
    Name,
    Value,
}

/// How a text is written.
#[derive(Clone, Copy)]
enum Coding {
    Plain,
    Huffman,
}

/// What a number is for.
#[derive(Clone, Copy)]
enum Number {
    /// A field in a table.
    Field,
    /// A name in a table, or none.
    Name,
    TableSize,
    Length(Text, Coding),
}

impl Block {
    pub(super) fn new(section: Section) -> Self {
        Self { section, place: Place::Start }
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// What the connection has to end with.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Reason> {
        while let [first, rest @ ..] = bytes {
            let first = *first;
            let mut seen = 1;
            self.place = match self.place {
                Place::Start | Place::Field => match (first, self.place) {
                    (0x80.., _) => self.begin(Number::Field, first, 7)?,
                    (0x40.., _) => self.begin(Number::Name, first, 6)?,
                    (0x20.., Place::Start) => self.begin(Number::TableSize, first, 5)?,
                    (0x20.., _) => return Err(Reason::COMPRESSION_ERROR),
                    _ => self.begin(Number::Name, first, 4)?,
                },
                Place::Length(text) => {
                    let coding = if first >= 0x80 { Coding::Huffman } else { Coding::Plain };
                    self.begin(Number::Length(text, coding), first, 7)?
                }
                Place::Number(number, value, shift) => {
                    let value = value + (usize::from(first & 0x7f) << shift);
                    match (first, shift) {
                        (0x80.., MOST_SHIFTED..) => return Err(Reason::COMPRESSION_ERROR),
                        (0x80.., _) => Place::Number(number, value, shift + 7),
                        _ => self.end(number, value)?,
                    }
                }
                Place::Name(coding, length) => {
                    let is_pseudo = match coding {
                        Coding::Plain => first == b':',
                        // Its code is 1011100.
                        Coding::Huffman => first >> 1 == 0b101_1100,
                    };
                    self.check(is_pseudo)?;
                    inside(Text::Name, length - 1)
                }
                Place::Inside(text, left) => {
                    seen = left.min(bytes.len());
                    inside(text, left - seen)
                }
            };
            bytes = if seen == 1 { rest } else { &bytes[seen..] };
        }
        Ok(())
    }

    /// Whether it may end here.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.place, Place::Start | Place::Field)
    }

    /// The first byte of a number, in which it has so many bits.
    fn begin(&self, number: Number, byte: u8, bits: u32) -> Result<Place, Reason> {
        let most = (1 << bits) - 1;
        match usize::from(byte) & most {
            value if value == most => Ok(Place::Number(number, value, 0)),
            value => self.end(number, value),
        }
    }

    /// What comes after a number.
    fn end(&self, number: Number, value: usize) -> Result<Place, Reason> {
        match number {
            Number::Field if value == 0 => Err(Reason::COMPRESSION_ERROR),
            Number::Field => {
                self.check(value <= LAST_PSEUDO_FIELD)?;
                Ok(Place::Field)
            }
            Number::Name if value == 0 => Ok(Place::Length(Text::Name)),
            Number::Name => {
                self.check(value <= LAST_PSEUDO_FIELD)?;
                Ok(Place::Length(Text::Value))
            }
            Number::TableSize if value > TABLE_SIZE => Err(Reason::COMPRESSION_ERROR),
            Number::TableSize => Ok(Place::Start),
            Number::Length(Text::Name, coding) if value > 0 => Ok(Place::Name(coding, value)),
            Number::Length(text, _) => Ok(inside(text, value)),
        }
    }

    fn check(&self, is_pseudo: bool) -> Result<(), Reason> {
        match self.section {
            Section::Trailers if is_pseudo => Err(Reason::PROTOCOL_ERROR),
            Section::Trailers | Section::Head => Ok(()),
        }
    }
}

/// Within a text of which so many bytes are left.
fn inside(text: Text, left: usize) -> Place {
    match (text, left) {
        (Text::Name, 0) => Place::Length(Text::Value),
        (Text::Value, 0) => Place::Field,
        (text, left) => Place::Inside(text, left),
    }
}

/// The first fields of the table that all connections share are the pseudo-fields (RFC 7541 appendix A).
const LAST_PSEUDO_FIELD: usize = 14;

/// The size of the connection's own table that clients may count on (RFC 9113 section 6.5.2).
const TABLE_SIZE: usize = 4096;

/// Numbers are shorter than five bytes, whatever they are for.
const MOST_SHIFTED: u32 = 21;
