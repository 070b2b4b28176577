//! Is a state what it should be? Everything derived is computed again from what it is derived from, by plain code that
//! shares nothing with the operators, on all cores, and compared record by record.
//!
//! In memory are, once each: the nodes, their vectors, their lists (and then, in their place, who is mutual with whom), and
//! the collection being compared. Lists that are made again and are as stored are not kept.

pub mod compare;
pub mod inputs;
pub mod report;

use std::collections::BTreeSet;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::CellId;
use kinetograph_dataflows::index::partition::codebook::Codebook;

pub use crate::recompute::Rules;
use crate::recompute::nearest::Member;
use crate::recompute::{cores, relations};
use crate::state::{State, StateError};
pub use report::{Check, Report};

/// Vectors of JPEG crops: n times d values, row after row.
pub type Embed<'e> = dyn Fn(&[&[u8]]) -> anyhow::Result<Vec<f32>> + Sync + 'e;

/// Hears the collection being computed, how much of it is done, and how much there is.
pub type Progress<'p> = dyn Fn(&str, usize, usize) + Sync + 'p;

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
    let tracks = relations::tracks(nodes.keys().copied());
    let members = members(nodes, vectors, &codebook, progress);
    report.push(compare::cells(&view, &members)?);
    progress("groups", 0, members.len());
    report.push(compare::groups(&view, &members, &codebook)?);

    let (lists, check) =
        compare::lists(&view, &members, &codebook, rules, &|done, all| progress("lists", done, all))?;
    report.push(check);
    let ids: Vec<NodeId> = members.iter().map(|member| member.id).collect();
    drop(members);
    let mutual = relations::mutual(&ids, &lists, rules.k);
    drop(lists);
    let searched = |done| progress("clusters", done, ids.len());
    let clusters = relations::clusters(&ids, &mutual, rules.min_cluster, &searched);
    drop(mutual);
    report.push(compare::set(
        "clusters",
        |see| each(view.clusters(), see),
        &clusters,
        compare::cluster_words,
    )?);
    progress("inter", 0, clusters.len());
    let inter = relations::inter(&clusters);
    drop(clusters);
    report.push(compare::set("inter", |see| each(view.inter(), see), &inter, compare::edge_words)?);
    progress("pairs", 0, inter.len());
    let mut pairs = relations::pairs(&inter, &tracks);
    if rules.max_pairs_per_node > 0 {
        pairs = relations::at_most(pairs, rules.max_pairs_per_node);
    }
    report.push(compare::set("pairs", |see| view.each_pair(see), &pairs, compare::pair_words)?);
    drop(pairs);
    progress("classes", 0, ids.len());
    let nodes: Vec<NodeId> = tracks.values().flatten().copied().collect();
    report.push(compare::classes(&view, &relations::classes(&nodes, &tracks, &inter))?);
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

/// Shows `see` each of the records, if they could be read.
fn each<T>(records: Result<Vec<T>, StateError>, see: &mut dyn FnMut(T)) -> Result<(), StateError> {
    records?.into_iter().for_each(see);
    Ok(())
}

/// What was read, or nothing when records of it are damaged: that is then a difference of `check`.
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
