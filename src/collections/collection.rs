//! The trait that each row of the register fulfils.

use std::fmt::{Debug, Display};

use differential_dataflow::{ExchangeData, VecCollection};
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::delta::EpochDelta;
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// A derived collection, with all that the engine must know to gather, keep, show, check and take back its records.
///
/// # Contract
/// At every closed epoch a key is there at most once. Keys that differ have different bytes, in the same order, and the
/// first eight of them are the [home](Collection::home). Reading the bytes of a key or value gives it again.
pub trait Collection: Sized + 'static {
    /// A record as the dataflow has it.
    type Record: ExchangeData;
    /// The part of a record that names it.
    type Key: Ord + Clone + Debug + Send + Sync;
    /// The rest of it.
    type Value: Ord + Clone + Debug + Send + Sync;

    /// Its name in digests, reports and messages.
    const NAME: &'static str;
    /// The table of the store it is kept in.
    const TABLE: Table;
    /// True when digests cover the space in front of a key, as if it were the first: so that of lists, which had it in format 2
    /// already, the digest is what it was, as that of the others is without.
    const SPACE_IN_DIGEST: bool = false;

    /// Its output of the dataflow.
    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Self::Record, Diff>;

    /// The key and value of a record.
    fn parts(record: &Self::Record) -> (&Self::Key, &Self::Value);

    /// The record of a key and value.
    fn join(key: Self::Key, value: Self::Value) -> Self::Record;

    /// The node whose source's process keeps the record with this key.
    fn home(key: &Self::Key) -> NodeId;

    /// Shows `see` each node that a record names: when one is forgotten, nothing may go on to name it.
    fn nodes(key: &Self::Key, value: &Self::Value, see: &mut dyn FnMut(NodeId));

    /// The bytes of a key.
    fn key_bytes(key: &Self::Key) -> Vec<u8>;

    /// The bytes of a value.
    fn value_bytes(value: &Self::Value) -> Vec<u8>;

    /// The key that has these bytes; `None` when none has.
    fn read_key(bytes: &[u8]) -> Option<Self::Key>;

    /// The value that has these bytes; `None` when none has.
    fn read_value(bytes: &[u8]) -> Option<Self::Value>;

    /// The key in the store, in which the space comes first.
    fn stored_key(space: u16, key: &Self::Key) -> Vec<u8> {
        key::in_space(space, &Self::key_bytes(key))
    }

    /// The key that is `bytes` in the store, of any space; `None` when none is.
    fn read_stored_key(bytes: &[u8]) -> Option<Self::Key> {
        Self::read_key(bytes.get(key::SPACE_BYTES..)?)
    }

    /// Returns what its values mean.
    fn labels() -> Labels<Self>;

    /// Returns how it goes back to a past epoch.
    fn history() -> History<Self>;

    /// Returns how an export shows it.
    fn export() -> Export<Self>;

    /// All of it from scratch, by plain code that shares nothing with the operator. The rows before it in the register have left
    /// in `work` what it follows from.
    fn recompute(work: &mut Work<'_>) -> Vec<(Self::Key, Self::Value)>;

    /// Leaves in `work` what later rows need of the collection as [recomputed](Collection::recompute).
    fn leave(all: Vec<(Self::Key, Self::Value)>, work: &mut Work<'_>) {
        drop((all, work));
    }

    /// Returns true when a record with this value says no more than none would.
    fn is_void(_value: &Self::Value) -> bool {
        false
    }

    /// Returns what is wrong, in words, with a record that is `found` where another, or none, is `right`.
    fn difference(key: &Self::Key, found: Option<&Self::Value>, right: Option<&Self::Value>) -> String;
}

/// The meaning of the values of a collection.
pub enum Labels<C: Collection> {
    /// They are what they are.
    Meant,
    /// They only say which records belong together. The canonical label is that named after the first key that has it.
    Opaque {
        /// The label that is named after a key.
        named: fn(&C::Key) -> C::Value,
    },
}

/// The way a collection goes back to a past epoch.
pub enum History<C: Collection> {
    /// By what each epoch replaced, kept for this alone.
    Replaced,
    /// By the changes that the trainer follows.
    Delta {
        /// Those of this collection.
        of: fn(&EpochDelta) -> &Followed<C>,
        /// Those of this collection, to change.
        of_mut: fn(&mut EpochDelta) -> &mut Followed<C>,
    },
}

/// Changes of a collection that the trainer follows: +1 came, -1 went.
pub type Followed<C> = Vec<(<C as Collection>::Record, i8)>;

/// The way an export shows a collection.
pub enum Export<C: Collection> {
    /// As a column of `nodes.tsv`; the key is a node.
    Column {
        /// The column's name.
        name: &'static str,
        /// The key that a node is.
        key: fn(NodeId) -> C::Key,
        /// The text that stands there.
        text: fn(&C::Value) -> String,
    },
    /// As a table of its own.
    Table {
        /// The file.
        file: &'static str,
        /// Its columns.
        columns: &'static [&'static str],
        /// Writes the rows of all the records, and says what was counted, by name.
        rows: Rows<C>,
    },
}

/// Writes the rows of a table: see [`Export::Table`].
pub type Rows<C> = fn(
    &mut dyn Iterator<Item = (&<C as Collection>::Key, &<C as Collection>::Value)>,
    &Context<'_>,
    &mut Shown<'_>,
) -> anyhow::Result<Vec<(&'static str, usize)>>;

/// Writes a row of a table, field by field.
pub type Shown<'s> = dyn FnMut(&[&dyn Display]) -> anyhow::Result<()> + 's;

/// The inputs of an export, beside the records.
pub struct Context<'e> {
    /// The most neighbours of a node.
    pub k: usize,
    /// The nodes, ascending.
    pub nodes: &'e [NodeId],
}

/// The difference of a node's label, in words.
pub(super) fn label(what: &str, node: NodeId, found: Option<u32>, right: Option<u32>) -> String {
    match (found, right) {
        (Some(found), Some(right)) => format!("node {node}: in {what} {found}, expected {right}"),
        (None, Some(right)) => format!("node {node}: in no {what}, expected {right}"),
        (found, None) => format!("node {node}: in {what} {}, expected none", found.unwrap_or_default()),
    }
}

/// The verdict on a record of a set, in words.
pub(super) fn member(what: &str, found: bool) -> String {
    format!("{what} {}", if found { "should not be there" } else { "is missing" })
}
