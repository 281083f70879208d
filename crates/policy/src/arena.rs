//! stub
/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key { pub(crate) index: u32, pub(crate) generation: u32 }
