//! Reading a state: everything as of one commit.

mod sources;

use std::collections::{BTreeMap, BTreeSet};

use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::kernels::vector::{Precision, Vector};
use kinetograph_dataflows::index::node::{CellId, ClassId, Cluster, List, Pair};
use kinetograph_dataflows::index::partition::codebook::Decision;
use serde::de::DeserializeOwned;

use super::digest::Digest;
use super::key::{self, FIRST_SPACE};
use super::record::{EpochDelta, EpochLog, MadeWith, NodeRecord, Shard, SourceRecord, Totals};
use super::{StateError, decode};
use crate::collections::{Cells, Classes, Clusters, Collection, Labels, Lists, Pairs, each_collection};
use crate::store::{Snapshot, Table, Visit};

/// A record of which only the digest is left.
pub(super) struct Gone {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    pub(super) digest: u128,
}

/// A state as of one commit.
pub struct View<'s> {
    snapshot: Box<dyn Snapshot + 's>,
    place: String,
    /// The embedding space that is shown.
    space: u16,
    /// Digests of records that were there at this epoch and are gone for good.
    gone: Vec<Gone>,
}

impl<'s> View<'s> {
    /// Over a snapshot of the store; `place` names it in messages.
    pub fn new(snapshot: Box<dyn Snapshot + 's>, place: String) -> Self {
        View { snapshot, place, space: FIRST_SPACE, gone: Vec::new() }
    }

    /// The same state over what `snapshot` makes of this one's, less what is `gone` for good.
    pub(super) fn over(
        self,
        snapshot: impl FnOnce(Box<dyn Snapshot + 's>) -> Box<dyn Snapshot + 's>,
        gone: Vec<Gone>,
    ) -> Self {
        View { snapshot: snapshot(self.snapshot), gone, ..self }
    }

    /// The same state, of which another embedding space is shown.
    pub fn in_space(mut self, space: u16) -> Self {
        self.space = space;
        self
    }

    /// Calls `visit` for each record of `table` that is of the space shown, until it answers `false`.
    pub(super) fn scan_space(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StateError> {
        let space = self.space.to_be_bytes();
        self.scan(table, &space, &mut |key, value| key.starts_with(&space) && visit(key, value))
    }

    /// Returns what it reads.
    pub(super) fn into_snapshot(self) -> Box<dyn Snapshot + 's> {
        self.snapshot
    }

    /// The state's folder, as messages name it.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Calls `visit` for each record of `table` at or after `from`, until it answers `false`.
    pub(crate) fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        Ok(self.snapshot.scan(table, from, visit)?)
    }

    /// The value at `key`.
    pub(super) fn raw(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.snapshot.get(table, key)?)
    }

    /// The records of `table` that were there at this epoch and are gone for good.
    fn gone(&self, table: Table) -> impl Iterator<Item = &Gone> {
        let space = space_in_digest(table).map(|_| self.space.to_be_bytes());
        self.gone
            .iter()
            .filter(move |gone| gone.table == table && space.is_none_or(|space| gone.key.starts_with(&space)))
    }

    /// Nodes that were there at this epoch and were retired since, so that they have no vector any more.
    pub fn retired_since(&self) -> usize {
        self.gone(Table::Vectors).count()
    }

    /// The last committed epoch; 0 before the first.
    ///
    /// # Errors
    /// As every method here: [`StateError`] when the store cannot be read or a record is damaged.
    pub fn epoch(&self) -> Result<u64, StateError> {
        Ok(self.meta(key::EPOCH)?.unwrap_or(0))
    }

    /// The first epoch whose deltas are kept.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn since(&self) -> Result<u64, StateError> {
        Ok(self.meta(key::SINCE)?.unwrap_or(0))
    }

    /// Counters over the life of the state.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn totals(&self) -> Result<Totals, StateError> {
        Ok(self.meta(key::TOTALS)?.unwrap_or_default())
    }

    /// Which part of a graph this is.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn shard(&self) -> Result<Shard, StateError> {
        Ok(self.meta(key::SHARD)?.unwrap_or(Shard::WHOLE))
    }

    /// A single value of the meta table.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn meta<T: DeserializeOwned>(&self, name: &[u8]) -> Result<Option<T>, StateError> {
        let bytes = self.snapshot.get(Table::Meta, name)?;
        bytes.map(|bytes| decode(&bytes, Table::Meta, &self.place)).transpose()
    }

    /// Returns how its vectors are kept.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn precision(&self) -> Result<Precision, StateError> {
        Ok(self.meta(key::PRECISION)?.unwrap_or_default())
    }

    /// The settings the state was made with; `None` before the first run.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn made_with(&self) -> Result<Option<MadeWith>, StateError> {
        self.meta(key::SETTINGS)
    }

    /// The configuration the state was made with, as JSON; `None` before the first run.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn settings(&self) -> Result<Option<serde_json::Value>, StateError> {
        let Some(made) = self.made_with()? else { return Ok(None) };
        let damaged = |reason: String| StateError::Damaged {
            place: self.place.clone(),
            table: Table::Meta,
            reason: format!("settings: {reason}"),
        };
        let table: toml::Table = made.config.parse().map_err(|e: toml::de::Error| damaged(e.to_string()))?;
        serde_json::to_value(table).map(Some).map_err(|e| damaged(e.to_string()))
    }

    /// All sources, by id.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn sources(&self) -> Result<BTreeMap<SourceId, SourceRecord>, StateError> {
        self.collect(Table::Sources, |key, value| {
            let record = decode(value, Table::Sources, &self.place)?;
            Ok(key::u32_at(key, 0).map(|id| (SourceId(id), record)))
        })
    }

    /// All nodes, by id.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn nodes(&self) -> Result<BTreeMap<NodeId, NodeRecord>, StateError> {
        self.collect(Table::Nodes, |key, value| {
            let record = decode(value, Table::Nodes, &self.place)?;
            Ok(key::u64_at(key, 0).map(|id| (NodeId(id), record)))
        })
    }

    /// A node's crop: JPEG, 96 x 96.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn crop(&self, node: NodeId) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.snapshot.get(Table::Crops, &key::node(node))?)
    }

    /// The nodes that have a crop.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn crop_nodes(&self) -> Result<BTreeSet<NodeId>, StateError> {
        self.collect(Table::Crops, |key, _| Ok(key::u64_at(key, 0).map(NodeId)))
    }

    /// Every node's vector, by id.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn vectors(&self) -> Result<BTreeMap<NodeId, Vector>, StateError> {
        let precision = self.precision()?;
        self.collect_space(Table::Vectors, |key, value| {
            Ok(key::u64_at(key, 2).map(NodeId).zip(Vector::from_bytes(value, precision)))
        })
    }

    /// All records of a derived collection, by key.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn read<C: Collection>(&self) -> Result<BTreeMap<C::Key, C::Value>, StateError> {
        self.collect_space(C::TABLE, |key, value| Ok(C::read_stored_key(key).zip(C::read_value(value))))
    }

    /// The cell that stores each node.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn cells(&self) -> Result<BTreeMap<NodeId, CellId>, StateError> {
        self.read::<Cells>()
    }

    /// The class of each node.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn classes(&self) -> Result<BTreeMap<NodeId, ClassId>, StateError> {
        self.read::<Classes>()
    }

    /// Each node's best neighbours in each cell it looks into.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn lists(&self) -> Result<BTreeMap<(NodeId, CellId), List>, StateError> {
        self.read::<Lists>()
    }

    /// Each node's `k` nearest neighbours: its lists merged.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn neighbours(&self, k: usize) -> Result<BTreeMap<NodeId, List>, StateError> {
        let mut merged: BTreeMap<NodeId, List> = BTreeMap::new();
        for ((node, _), list) in self.lists()? {
            merged.entry(node).or_default().extend(list);
        }
        for list in merged.values_mut() {
            list.sort_unstable();
            list.truncate(k);
        }
        Ok(merged)
    }

    /// Child clusters, each sorted by node.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn clusters(&self) -> Result<Vec<Cluster>, StateError> {
        Ok(self.read::<Clusters>()?.into_keys().collect())
    }

    /// Transitive pairs, one record a reason.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn pairs(&self) -> Result<Vec<Pair>, StateError> {
        Ok(self.read::<Pairs>()?.into_keys().collect())
    }

    /// Decisions about the codebook with the epoch they take effect at, in order.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn decisions(&self) -> Result<Vec<(u64, Decision)>, StateError> {
        self.collect_space(Table::Decisions, |key, value| {
            let decision = decode(value, Table::Decisions, &self.place)?;
            Ok(key::u64_at(key, key::SPACE_BYTES).map(|effective| (effective, decision)))
        })
    }

    /// The keys of all decisions.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn decision_keys(&self) -> Result<Vec<Vec<u8>>, StateError> {
        self.collect_space(Table::Decisions, |key, _| Ok(Some(key.to_vec())))
    }

    /// Nodes told to go that are still there, by the epoch they go at. They were told at most `delay` epochs ago.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn retiring(&self, delay: u64) -> Result<BTreeMap<u64, Vec<NodeId>>, StateError> {
        let now = self.epoch()?;
        let told = self.log(now.saturating_sub(delay))?.into_values().filter_map(|log| log.retired);
        Ok(told.filter(|(effective, nodes)| *effective > now && !nodes.is_empty()).collect())
    }

    /// Returns what arrived in each epoch from `from` on.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn log(&self, from: u64) -> Result<BTreeMap<u64, EpochLog>, StateError> {
        self.collect_from(Table::Log, &key::epoch(from), |key, value| {
            let log = decode(value, Table::Log, &self.place)?;
            Ok(key::u64_at(key, 0).map(|epoch| (epoch, log)))
        })
    }

    /// Returns what changed for the trainer in each epoch from `from` on.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn deltas(&self, from: u64) -> Result<BTreeMap<u64, EpochDelta>, StateError> {
        self.collect_from(Table::Deltas, &key::epoch(from), |key, value| {
            let delta = decode(value, Table::Deltas, &self.place)?;
            Ok(key::u64_at(key, 0).map(|epoch| (epoch, delta)))
        })
    }

    /// Keys of the kept stills: rank in the reservoir, source, frame.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn stills(&self) -> Result<Vec<(u64, SourceId, u64)>, StateError> {
        self.collect(Table::Stills, |key, _| {
            let (rank, source) = (key::u64_at(key, 0), key::u32_at(key, 8));
            Ok(rank.zip(source).zip(key::u64_at(key, 12)).map(|((r, s), seq)| (r, SourceId(s), seq)))
        })
    }

    /// A kept still: JPEG.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn still(&self, rank: u64, source: SourceId, seq: u64) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.snapshot.get(Table::Stills, &key::still(rank, source, seq))?)
    }

    /// Returns how many records `table` has, and their digest.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn digest(&self, table: Table) -> Result<(u64, Digest), StateError> {
        each_collection!(C => {
            if let (true, Labels::Opaque { .. }) = (table == C::TABLE, C::labels()) {
                let records = self.read::<C>()?;
                return Ok((records.len() as u64, Digest::of::<C>(records.iter())));
            }
        });
        let (mut count, mut digest) = (0, Digest::default());
        match space_in_digest(table) {
            None => self.scan(table, &[], &mut |key, value| {
                count += 1;
                digest.add(key, value);
                true
            })?,
            Some(covered) => self.scan_space(table, &mut |key, value| {
                count += 1;
                let key = &key[key::SPACE_BYTES..];
                match covered {
                    true => digest.add(&key::in_space(FIRST_SPACE, key), value),
                    false => digest.add(key, value),
                }
                true
            })?,
        }
        for gone in self.gone(table) {
            count += 1;
            digest.add_record(gone.digest);
        }
        Ok((count, digest))
    }

    /// The number of the embedding space that is shown.
    pub fn space(&self) -> u16 {
        self.space
    }

    /// As [`View::collect_from`], of the space that is shown.
    fn collect_space<T, C: FromIterator<T>>(
        &self,
        table: Table,
        read: impl Fn(&[u8], &[u8]) -> Result<Option<T>, StateError>,
    ) -> Result<C, StateError> {
        let space = self.space.to_be_bytes();
        let here = |key: &[u8]| key.starts_with(&space);
        self.collect_while(table, &space, here, read)
    }

    fn collect<T, C: FromIterator<T>>(
        &self,
        table: Table,
        read: impl Fn(&[u8], &[u8]) -> Result<Option<T>, StateError>,
    ) -> Result<C, StateError> {
        self.collect_from(table, &[], read)
    }

    pub(super) fn collect_from<T, C: FromIterator<T>>(
        &self,
        table: Table,
        from: &[u8],
        read: impl Fn(&[u8], &[u8]) -> Result<Option<T>, StateError>,
    ) -> Result<C, StateError> {
        self.collect_while(table, from, |_| true, read)
    }

    /// Returns what `read` makes of the records from the key `from` on, for as long as keys are `wanted`.
    fn collect_while<T, C: FromIterator<T>>(
        &self,
        table: Table,
        from: &[u8],
        wanted: impl Fn(&[u8]) -> bool,
        read: impl Fn(&[u8], &[u8]) -> Result<Option<T>, StateError>,
    ) -> Result<C, StateError> {
        let mut records = Vec::new();
        let mut damage = None;
        self.snapshot.scan(table, from, &mut |key, value| {
            if !wanted(key) {
                return false;
            }
            match read(key, value) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => {
                    damage = Some(StateError::Damaged {
                        place: self.place.clone(),
                        table,
                        reason: format!("key of {} bytes, value of {}", key.len(), value.len()),
                    });
                }
                Err(error) => damage = Some(error),
            }
            damage.is_none()
        })?;
        match damage {
            Some(damage) => Err(damage),
            None => Ok(records.into_iter().collect()),
        }
    }
}

/// Returns whether digests cover the space in front of the keys of `table`; `None` when keys have none.
fn space_in_digest(table: Table) -> Option<bool> {
    each_collection!(C => {
        if table == C::TABLE {
            return Some(C::SPACE_IN_DIGEST);
        }
    });
    match table {
        Table::Vectors => Some(true),
        Table::Decisions => Some(false),
        _ => None,
    }
}
