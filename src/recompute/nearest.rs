//! Lists from scratch, cell by cell: everyone who probes a cell against everyone stored there, every score computed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::kernels::vector::Vector;
use kinetograph_dataflows::index::node::{CellId, List, Neighbour};
use kinetograph_dataflows::index::partition::codebook::Codebook;
use kinetograph_dataflows::index::partition::probes::Probes;

use super::canonical::score;
use super::cores::on_all_cores;
use super::rules::Rules;

/// A node that takes part in the graph.
#[derive(Clone, Debug)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// Presentation time of its frame, nanoseconds.
    pub pts_ns: u64,
    /// d values; all members have the same d.
    pub vector: Vector,
    /// The cell that stores it.
    pub cell: CellId,
}

/// Lists, ascending by node and cell.
pub type Lists = Vec<((NodeId, CellId), List)>;

/// Lists made at a time: a row of the cell is fetched once for so many.
const LOOKERS: usize = 128;
/// Rows laid side by side at a time: with 512 values each they stay in a core's cache.
const ROWS: usize = 64;

/// Returns true when `a` and `b` may be neighbours.
pub fn eligible(a: &Member, b: &Member, separation_ns: u64) -> bool {
    a.id.track() != b.id.track()
        && (a.id.source() != b.id.source() || a.pts_ns.abs_diff(b.pts_ns) > separation_ns)
}

/// Some of those who probe a cell.
struct Task<'m> {
    cell: CellId,
    lookers: Vec<&'m Member>,
    stored: Arc<Vec<&'m Member>>,
}

/// Calls `take` with each member, each cell it probes, and its `k` nearest eligible members there; from all cores, in no
/// order. What it answers, of those where it answers something. `done` hears how many lists are made, and of how many.
pub fn lists<R: Send>(
    members: &[Member],
    codebook: &Codebook,
    rules: &Rules,
    take: impl Fn(NodeId, CellId, List) -> Option<R> + Sync,
    done: &(dyn Fn(usize, usize) + Sync),
) -> Vec<R> {
    let mut stored: BTreeMap<CellId, Vec<&Member>> = BTreeMap::new();
    members.iter().for_each(|member| stored.entry(member.cell).or_default().push(member));
    stored.retain(|_, rows| rows.len() >= rules.min_cell);
    let stored: BTreeMap<CellId, Arc<Vec<&Member>>> =
        stored.into_iter().map(|(cell, rows)| (cell, Arc::new(rows))).collect();

    let mut lookers: BTreeMap<CellId, Vec<&Member>> = BTreeMap::new();
    let chunks: Vec<&[Member]> = members.chunks(LOOKERS).collect();
    let probed_by = |some: &&[Member]| some.iter().map(|member| probed(member, codebook, rules)).collect();
    let all: Vec<Vec<Vec<CellId>>> = on_all_cores(&chunks, probed_by, &|_| {});
    for (member, cells) in members.iter().zip(all.iter().flatten()) {
        cells.iter().for_each(|cell| lookers.entry(*cell).or_default().push(member));
    }
    drop(all);

    let all = lookers.values().map(Vec::len).sum();
    let mut tasks = Vec::new();
    for (cell, lookers) in lookers {
        let stored = stored.get(&cell).cloned().unwrap_or_default();
        let chunks = lookers.chunks(LOOKERS).map(<[&Member]>::to_vec);
        tasks.extend(chunks.map(|lookers| Task { cell, lookers, stored: stored.clone() }));
    }
    let made = AtomicUsize::new(0);
    let run = |task: &Task<'_>| -> Vec<R> {
        let lists = task.lists(rules);
        let made = made.fetch_add(lists.len(), Ordering::Relaxed) + lists.len();
        let answers = task.lookers.iter().zip(lists).filter_map(|(m, list)| take(m.id, task.cell, list));
        let answers = answers.collect();
        done(made, all);
        answers
    };
    on_all_cores(&tasks, run, &|_| {}).into_iter().flatten().collect()
}

/// The cells that `member` probes.
pub fn probed(member: &Member, codebook: &Codebook, rules: &Rules) -> Vec<CellId> {
    match rules.probes() {
        Probes { count: 0 | 1, .. } => vec![member.cell],
        probes => codebook.probed(&member.vector.values(), probes),
    }
}

impl Task<'_> {
    fn lists(&self, rules: &Rules) -> Vec<List> {
        let mut lists = vec![List::new(); self.lookers.len()];
        let mut side_by_side = Vec::new();
        for rows in self.stored.chunks(ROWS) {
            side_by_side.clear();
            rows.iter().for_each(|row| side_by_side.extend_from_slice(&row.vector.values()));
            let length = side_by_side.len() / rows.len();
            for (looker, list) in self.lookers.iter().zip(&mut lists) {
                let of_looker = looker.vector.values();
                for (at, row) in rows.iter().enumerate() {
                    if eligible(looker, row, rules.separation_ns) {
                        let vector = &side_by_side[at * length..(at + 1) * length];
                        enter(list, Neighbour { score: score(&of_looker, vector), node: row.id }, rules.k);
                    }
                }
            }
        }
        lists
    }
}

/// Puts `entry` in its place in `list`, which keeps the first `k`.
fn enter(list: &mut List, entry: Neighbour, k: usize) {
    if list.len() >= k && list.last().is_none_or(|last| entry > *last) {
        return;
    }
    let at = list.partition_point(|other| *other < entry);
    list.insert(at, entry);
    list.truncate(k);
}
