//! Keys of the store's tables: big-endian, so that their order is the order of what they name.

use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::node::{CellId, Pair, PairKind};

/// Version of the state's format.
pub const FORMAT: &[u8] = b"format";
/// The last committed epoch.
pub const EPOCH: &[u8] = b"epoch";
/// The settings the state was made with.
pub const SETTINGS: &[u8] = b"settings";
/// The embedding space that vectors and lists are in now, its name by its number.
pub const SPACE: &[u8] = b"space";
/// The precision that vectors are kept in; where it is absent, single precision.
pub const PRECISION: &[u8] = b"precision";
/// The storage of rows for the product of neighbours, and whether that was measured; absent before the first run of a version that measures.
pub const KEPT_ROWS: &[u8] = b"kept rows";
/// Counters over the life of the state.
pub const TOTALS: &[u8] = b"totals";
/// The first epoch whose deltas are kept.
pub const SINCE: &[u8] = b"since";

/// Which derived collections are kept, and since when; where it is absent, those of the first versions.
pub const COLLECTIONS: &[u8] = b"collections";

/// Which shard of a graph this is; absent when it is the whole.
pub const SHARD: &[u8] = b"shard";

/// The forgotten nodes that are still to be erased outside the tables; absent when there is nothing.
pub const ERASING: &[u8] = b"erasing";

/// The number of the embedding space in keys. A state has one space until it moves to a better embedder.
pub const FIRST_SPACE: u16 = 0;

/// Bytes of the number of a space, with which a key of what is of one space begins.
pub const SPACE_BYTES: usize = 2;

/// The key `key` of what is of `space`.
pub fn in_space(space: u16, key: &[u8]) -> Vec<u8> {
    [&space.to_be_bytes()[..], key].concat()
}

/// The key `key` of what is of the first space.
pub fn in_first_space(key: &[u8]) -> Vec<u8> {
    in_space(FIRST_SPACE, key)
}

/// Key of a source.
pub fn source(source: SourceId) -> Vec<u8> {
    source.0.to_be_bytes().to_vec()
}

/// Key of a node in tables by node.
pub fn node(node: NodeId) -> Vec<u8> {
    node.0.to_be_bytes().to_vec()
}

/// Key of a node's vector.
pub fn vector(space: u16, node: NodeId) -> Vec<u8> {
    [&space.to_be_bytes()[..], &node.0.to_be_bytes()].concat()
}

/// Key of a node's list in one cell.
pub fn list(space: u16, node: NodeId, cell: CellId) -> Vec<u8> {
    [&space.to_be_bytes()[..], &node.0.to_be_bytes(), &cell.0.to_be_bytes()].concat()
}

/// Key of a set or pair of nodes: the members one after the other.
pub fn nodes(nodes: &[NodeId]) -> Vec<u8> {
    nodes.iter().flat_map(|n| n.0.to_be_bytes()).collect()
}

/// Key of a transitive pair with its reason.
pub fn pair(pair: &Pair) -> Vec<u8> {
    let kind = match pair.kind {
        PairKind::BothMoved => 0u8,
        PairKind::AMoved => 1,
        PairKind::BMoved => 2,
    };
    [&nodes(&[pair.a, pair.b])[..], &[kind], &nodes(&[pair.via_a, pair.via_b])].concat()
}

/// Key of an epoch.
pub fn epoch(epoch: u64) -> Vec<u8> {
    epoch.to_be_bytes().to_vec()
}

/// Key of a decision about a space's codebook: the epoch it takes effect at, and its place in that epoch.
pub fn decision(space: u16, effective: u64, order: u64) -> Vec<u8> {
    [&space.to_be_bytes()[..], &effective.to_be_bytes(), &order.to_be_bytes()].concat()
}

/// Key of a still: its rank in the reservoir first, so that the last ones are the next to go.
pub fn still(rank: u64, source: SourceId, seq: u64) -> Vec<u8> {
    [&rank.to_be_bytes()[..], &source.0.to_be_bytes(), &seq.to_be_bytes()].concat()
}

/// Key of a decision about a source: the epoch whose transaction it is in, and its place there.
pub fn source_decision(source: SourceId, epoch: u64, order: u64) -> Vec<u8> {
    [&source.0.to_be_bytes()[..], &epoch.to_be_bytes(), &order.to_be_bytes()].concat()
}

/// Key of a connection with a live source: the number of its first frame.
pub fn connection(source: SourceId, first_seq: u64) -> Vec<u8> {
    [&source.0.to_be_bytes()[..], &first_seq.to_be_bytes()].concat()
}

/// The 64-bit number at `at` in a key; `None` past its end.
pub fn u64_at(key: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?))
}

/// The 32-bit number at `at` in a key; `None` past its end.
pub fn u32_at(key: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(at..at + 4)?.try_into().ok()?))
}

/// The node that is all of a key.
pub fn node_at(key: &[u8]) -> Option<NodeId> {
    u64_at(key, 0).filter(|_| key.len() == 8).map(NodeId)
}

/// The nodes a key names from byte `at` on.
pub fn nodes_at(key: &[u8], at: usize) -> Option<Vec<NodeId>> {
    let rest = key.get(at..)?;
    rest.len().is_multiple_of(8).then(|| {
        rest.chunks_exact(8).filter_map(|c| Some(NodeId(u64::from_be_bytes(c.try_into().ok()?)))).collect()
    })
}

/// Bytes of the key of a pair: four nodes and a kind.
const PAIR_BYTES: usize = 4 * 8 + 1;

/// The pair that is all of a key.
pub fn pair_at(key: &[u8]) -> Option<Pair> {
    if key.len() != PAIR_BYTES {
        return None;
    }
    let kind = match key.get(16)? {
        0 => PairKind::BothMoved,
        1 => PairKind::AMoved,
        2 => PairKind::BMoved,
        _ => return None,
    };
    Some(Pair {
        a: NodeId(u64_at(key, 0)?),
        b: NodeId(u64_at(key, 8)?),
        kind,
        via_a: NodeId(u64_at(key, 17)?),
        via_b: NodeId(u64_at(key, 25)?),
    })
}
