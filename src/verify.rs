//! Is a state what it should be? Everything derived is computed again from what it is derived from, by plain code that
//! shares nothing with the operators, and compared record by record.

pub mod compare;
pub mod inputs;
pub mod recompute;
pub mod report;
pub mod rules;

use std::collections::BTreeSet;

use kinetograph_dataflows::id::NodeId;

use crate::state::{State, StateError};
use recompute::Member;
pub use report::{Check, Report};
pub use rules::Rules;

/// Vectors of JPEG crops: n times d values, row after row.
pub type Embed<'e> = dyn Fn(&[&[u8]]) -> anyhow::Result<Vec<f32>> + 'e;

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

    let (sources, sources_check) = inputs::sources(&view)?;
    let (nodes, mut check) = inputs::nodes(&view, &sources, report.epoch)?;
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
    report.push(check);

    let length = vectors.values().next().map_or(0, |v| v.len());
    let (codebook, check) = inputs::codebook(&view, report.epoch, length)?;
    report.push(check);
    let members: Vec<Member> = nodes
        .iter()
        .filter_map(|(id, record)| {
            let vector = vectors.get(id)?.clone();
            let cell = codebook.cell(&vector);
            Some(Member { id: *id, pts_ns: record.pts_ns, vector, cell })
        })
        .collect();
    report.push(compare::cells(&view, &members)?);
    report.push(compare::groups(&view, &members, &codebook)?);

    let total = members.len();
    let lists = recompute::lists(&members, &codebook, rules, &|done| progress("lists", done, total));
    report.push(compare::lists(&view, &lists)?);
    let mutual = recompute::mutual(&lists, rules.k);
    let clusters = recompute::clusters(&mutual, rules.min_cluster);
    report.push(compare::set("clusters", view.clusters(), &clusters, compare::cluster_words)?);
    let inter = recompute::inter(&clusters);
    report.push(compare::set("inter", view.inter(), &inter, compare::edge_words)?);
    let tracks = recompute::tracks(nodes.keys().copied());
    let pairs = recompute::pairs(&inter, &tracks);
    report.push(compare::set("pairs", view.pairs(), &pairs, compare::pair_words)?);
    report.push(compare::classes(&view, &recompute::classes(&tracks, &inter))?);
    Ok(report)
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
