//! What a state holds of its sources besides their records: decisions about them, and connections with live ones.

use std::collections::BTreeMap;

use kinetograph_dataflows::id::SourceId;

use super::View;
use crate::state::record::{Connection, Gap, SourceDecision};
use crate::state::{StateError, decode};
use crate::store::{Table, key};

impl View<'_> {
    /// Decisions about sources while an engine ran: of each source in the order in which they were taken.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn source_decisions(&self) -> Result<BTreeMap<SourceId, Vec<SourceDecision>>, StateError> {
        let decisions: Vec<(SourceId, SourceDecision)> =
            self.collect(Table::SourceDecisions, |key, value| {
                let decision = decode(value, Table::SourceDecisions, &self.place)?;
                Ok(key::u32_at(key, 0).map(|source| (SourceId(source), decision)))
            })?;
        let mut of: BTreeMap<SourceId, Vec<SourceDecision>> = BTreeMap::new();
        decisions.into_iter().for_each(|(source, decision)| of.entry(source).or_default().push(decision));
        Ok(of)
    }

    /// All connections with live sources, by source and first frame.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn connections(&self) -> Result<BTreeMap<(SourceId, u64), Connection>, StateError> {
        self.collect(Table::Connections, |key, value| {
            let connection = decode(value, Table::Connections, &self.place)?;
            let (source, first) = (key::u32_at(key, 0), key::u64_at(key, 4));
            Ok(source.zip(first).map(|(source, first)| ((SourceId(source), first), connection)))
        })
    }

    /// The keys of `source` in a table whose keys begin with the source.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn keys_of_source(&self, table: Table, source: SourceId) -> Result<Vec<Vec<u8>>, StateError> {
        let mut keys = Vec::new();
        let prefix = key::source(source);
        self.scan(table, &prefix, &mut |key, _| {
            let of_source = key.starts_with(&prefix);
            keys.extend(of_source.then(|| key.to_vec()));
            of_source
        })?;
        Ok(keys)
    }

    /// Of each live source that gave frames, the time of the last one, nanoseconds since 1970.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn last_seen(&self) -> Result<BTreeMap<SourceId, u64>, StateError> {
        let connections = self.connections()?.into_iter();
        // Of one source, the last connection stays.
        Ok(connections.map(|((source, _), connection)| (source, connection.last_ns)).collect())
    }

    /// Returns what was missed of live sources, by source and time.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn gaps(&self) -> Result<Vec<Gap>, StateError> {
        let connections: Vec<_> = self.connections()?.into_iter().collect();
        let pairs = connections.windows(2).filter(|pair| pair[0].0.0 == pair[1].0.0);
        let gap = |pair: &[((SourceId, u64), Connection)]| {
            let [((source, _), before), (_, after)] = pair else { return None };
            let reason = before.ended.clone().unwrap_or_else(|| "the engine was not running".to_owned());
            Some(Gap { source: *source, from_ns: before.last_ns, to_ns: after.first_ns, reason })
        };
        Ok(pairs.filter_map(gap).collect())
    }
}
