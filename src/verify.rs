//! Is a state what it should be? Everything derived is [computed again](crate::recompute) from what it is derived from, on all
//! cores, and compared record by record.
//!
//! In memory are, once each: the nodes, their vectors, their lists (and then, in their place, who is mutual with whom), and
//! the collection being compared. What is stored is read record by record.

pub mod compare;
pub mod inputs;
pub mod report;

use std::collections::BTreeSet;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::CellId;
use kinetograph_dataflows::index::partition::codebook::Codebook;

use crate::collections::{Collection, each_collection};
pub use crate::recompute::Rules;
use crate::recompute::cores;
use crate::recompute::nearest::Member;
pub use crate::recompute::work::Progress;
use crate::recompute::work::Work;
use crate::state::{State, StateError};
use compare::compare;
pub use report::{Check, Report};

/// Vectors of JPEG crops: n times d values, row after row.
pub type Embed<'e> = dyn Fn(&[&[u8]]) -> anyhow::Result<Vec<f32>> + Sync + 'e;

/// Looks for differences in `state`, whose graph was made by `rules`. With `embed`, vectors are computed again from
/// the crops and must be equal to the bit; without, they are taken as they are.
///
/// # Errors
/// When the store cannot be read or `embed` fails. Damaged records are differences, not errors.
pub fn verify(
    state: &State,
    rules: &Rules,
    embed: Option<&Embed<'_>>,
    progress: &Progress<'_>,
) -> anyhow::Result<Report> {
    let view = state.view()?;
    let mut report = Report { epoch: view.epoch()?, ..Report::default() };

    progress("nodes", 0, 0);
    let (sources, sources_check) = inputs::sources(&view)?;
    let (nodes, mut check) = inputs::nodes(&view, &sources, report.epoch)?;
    progress("vectors", 0, nodes.len());
    let (vectors, vectors_check) = inputs::vectors(&view, &nodes)?;
    let (crops, crops_check) = inputs::crops(&view, &nodes, progress)?;
    inputs::complete(&mut check, &nodes, &crops, &vectors);
    report.push(sources_check);
    report.push(check);
    report.push(crops_check);
    let mut check = vectors_check;
    if let Some(embed) = embed {
        inputs::embedded(&view, &crops, &vectors, embed, &mut check, progress)?;
    }
    drop(crops);
    report.push(check);

    let length = vectors.values().next().map_or(0, |v| v.len());
    let (codebook, check) = inputs::codebook(&view, report.epoch, length)?;
    report.push(check);
    let ids: Vec<NodeId> = nodes.keys().copied().collect();
    let members = members(nodes, vectors, &codebook, progress);
    let mut work = Work::new(ids, members, &codebook, rules, progress);
    each_collection!(C => {
        progress(C::NAME, 0, work.ids.len());
        let right = C::recompute(&mut work);
        match view.keeps::<C>()? {
            true => report.push(compare::<C>(&view, &right)?),
            false => report.not_kept.push(C::NAME),
        }
        C::leave(right, &mut work);
    });
    Ok(report)
}

/// Nodes assigned to their cells at a time.
const TOGETHER: usize = 1024;

/// The nodes that have a vector, each in the cell that `codebook` gives it.
fn members(
    nodes: inputs::Nodes,
    vectors: inputs::Vectors,
    codebook: &Codebook,
    progress: &Progress<'_>,
) -> Vec<Member> {
    let placed = nodes.iter().filter_map(|(id, record)| {
        let vector = vectors.get(id)?.clone();
        Some(Member { id: *id, pts_ns: record.pts_ns, vector, cell: CellId(0) })
    });
    let mut members: Vec<Member> = placed.collect();
    let chunks: Vec<&[Member]> = members.chunks(TOGETHER).collect();
    let cell = |some: &&[Member]| some.iter().map(|m| codebook.cell(&m.vector.values())).collect::<Vec<_>>();
    let done = |chunks: usize| progress("cells", (chunks * TOGETHER).min(members.len()), members.len());
    let cells = cores::on_all_cores(&chunks, cell, &done);
    for (member, cell) in members.iter_mut().zip(cells.into_iter().flatten()) {
        member.cell = cell;
    }
    members
}

/// Returns what was read, or nothing when records of it are damaged: that is then a difference of `check`.
fn read<T: Default>(check: &mut Check, found: Result<T, StateError>) -> Result<Option<T>, StateError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error @ StateError::Damaged { .. }) => {
            check.differs(|| error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// `check` with a difference for each node in `found` that is no node of the state.
fn orphans<'n>(
    check: &mut Check,
    what: &str,
    found: impl IntoIterator<Item = &'n NodeId>,
    known: &BTreeSet<NodeId>,
) {
    for node in found.into_iter().filter(|n| !known.contains(n)) {
        check.differs(|| format!("node {node}: has a {what} and is not in the table of nodes"));
    }
}
