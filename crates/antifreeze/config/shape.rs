//! What holds for every YAML file of ours whatever its keys: one mapping, no key twice, no tags.

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_yaml::{Error, Location};
use std::collections::BTreeSet;
use std::fmt;

/// Reads the whole text.
///
/// # Errors
/// A syntax error, a key that occurs twice in one mapping (with the second one's line), a tag, or no mapping at all.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    struct Root;

    impl<'de> Visitor<'de> for Root {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a mapping of settings, for example listeners: [{ address: \"127.0.0.1:8000\" }]")
        }

        fn visit_unit<E: de::Error>(self) -> Result<(), E> {
            Err(E::custom("no settings in it; write some, or leave --config out"))
        }

        fn visit_none<E: de::Error>(self) -> Result<(), E> {
            self.visit_unit()
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
            Shape.visit_map(map)
        }
    }

    serde_yaml::Deserializer::from_str(text).deserialize_any(Root)
}

/// Any value whose mappings name each key once.
struct Shape;

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self).map(|()| Self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag (!name)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while map.next_key_seed(NewKey(&mut seen))?.is_some() {
            map.next_value::<Self>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element::<Self>()?.is_some() {}
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (tag, _) = tagged.variant::<String>()?;
        Err(de::Error::custom(format!("a tag (!{tag}) has no meaning here; remove it")))
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i128<E>(self, _: i128) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u128<E>(self, _: u128) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key that its mapping does not hold yet. To refuse it here, and not in the mapping, gives the error its line.
struct NewKey<'a>(&'a mut BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a plain word")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<(), E> {
        match self.0.insert(key.to_owned()) {
            true => Ok(()),
            false => Err(E::custom(format!("{key} occurs twice in this section; remove one of them"))),
        }
    }
}

/// A place in the text: the keys and indexes that lead to it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a>(pub(crate) &'a [&'a str]);

impl At<'_> {
    /// Parses until the place is reached and fails there, because errors know where they are.
    pub(crate) fn find(self, text: &str) -> Option<Location> {
        match self.deserialize(serde_yaml::Deserializer::from_str(text)) {
            Ok(()) => None,
            Err(found) => found.location(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            [] => deserializer.deserialize_any(Here),
            [_, ..] => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or a sequence")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(turn) = map.next_key_seed(KeyAt(self))? {
            match turn {
                Turn::LeadsOn => map.next_value_seed(At(&self.0[1..]))?,
                Turn::LeadsAway => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let wanted = self.0[0].parse().unwrap_or(usize::MAX);
        for _ in 0..wanted {
            if sequence.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        sequence.next_element_seed(At(&self.0[1..]))?;
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// A key on the way to a place; the last one on the way is the place.
struct KeyAt<'a>(At<'a>);

enum Turn {
    LeadsOn,
    LeadsAway,
}

impl<'de> DeserializeSeed<'de> for KeyAt<'_> {
    type Value = Turn;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Turn, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyAt<'_> {
    type Value = Turn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Turn, E> {
        match self.0.0 {
            [last] if *last == key => Err(E::custom("here")),
            [next, ..] if *next == key => Ok(Turn::LeadsOn),
            _ => Ok(Turn::LeadsAway),
        }
    }
}

/// Nothing is expected here: whatever comes is an error, with its place.
struct Here;

impl Visitor<'_> for Here {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}
