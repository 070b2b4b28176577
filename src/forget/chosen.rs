//! The nodes that a request names, in the state as it is.

use std::collections::{BTreeMap, BTreeSet};

use kinetograph_dataflows::id::{NodeId, SourceId};

use super::{ForgetError, What};
use crate::state::key;
use crate::state::record::{NodeRecord, SourceRecord};
use crate::state::view::View;

/// Names listed in a message.
const LISTED: usize = 20;

/// The things to be forgotten.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// Nodes.
    pub nodes: BTreeSet<NodeId>,
    /// Sources of which only the address stays.
    pub sources: BTreeMap<SourceId, SourceRecord>,
    /// Keys of stills that show what is forgotten.
    pub stills: Vec<Vec<u8>>,
    /// Views that stay of tracks of which one goes.
    pub other_views: Vec<NodeId>,
}

impl Chosen {
    /// Returns what `what` names in `view`; `place` names the state in messages. Nothing is an answer, too, where a source that
    /// is named was forgotten before; of a node that was, nothing is left to know it by.
    ///
    /// # Errors
    /// [`ForgetError`] when there is no such source or node, or several such sources.
    pub fn new(view: &View<'_>, what: &What, place: &str, now_s: u64) -> Result<Self, ForgetError> {
        let nodes = view.nodes()?;
        match what {
            What::Source(name) => of_source(view, &nodes, name, place),
            What::Node(id) => of_node(view, &nodes, NodeId(*id), place),
            What::OlderThan(age) => of_age(view, &nodes, now_s.saturating_sub(age.as_secs())),
        }
    }

    /// Returns true when it names nothing.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.sources.is_empty() && self.stills.is_empty()
    }
}

type Nodes = BTreeMap<NodeId, NodeRecord>;

/// All sources of one URI are one thing to whoever asks: a file that changed has a record for each content it had.
fn of_source(view: &View<'_>, nodes: &Nodes, name: &str, place: &str) -> Result<Chosen, ForgetError> {
    let all = view.sources()?;
    let mut named: BTreeMap<SourceId, SourceRecord> = all.clone();
    named.retain(|_, source| source.uri == name);
    if named.is_empty() {
        named = all.clone();
        named.retain(|_, source| source.name == name);
    }
    let uris: BTreeSet<&str> = named.values().map(|source| source.uri.as_str()).collect();
    let (place, asked) = (place.to_string(), name.to_string());
    match uris.len() {
        0 => {
            let known = listed(all.values().map(|source| source.name.as_str()).collect(), "sources");
            Err(ForgetError::NoSource { place, asked, known })
        }
        1 => {
            named.retain(|_, source| !source.forgotten);
            let stills = view.stills()?.into_iter().filter(|(_, source, _)| named.contains_key(source));
            Ok(Chosen {
                nodes: nodes.keys().copied().filter(|node| named.contains_key(&node.source())).collect(),
                stills: stills.map(|(rank, source, seq)| key::still(rank, source, seq)).collect(),
                sources: named,
                other_views: Vec::new(),
            })
        }
        _ => Err(ForgetError::SeveralSources { place, asked, known: listed(uris, "sources") }),
    }
}

/// One node, and the stills of the frames between the first and the last view of its track: they show it.
fn of_node(view: &View<'_>, nodes: &Nodes, node: NodeId, place: &str) -> Result<Chosen, ForgetError> {
    if !nodes.contains_key(&node) {
        let known = match (nodes.keys().next(), nodes.keys().next_back()) {
            (Some(first), Some(last)) => format!("{} from {first} to {last}", nodes.len()),
            _ => "none".to_string(),
        };
        return Err(ForgetError::NoNode { place: place.to_string(), asked: node.0, known });
    }
    let views: Vec<(NodeId, u64)> =
        nodes.iter().filter(|(n, _)| n.track() == node.track()).map(|(n, r)| (*n, r.seq)).collect();
    let first = views.iter().map(|(_, seq)| *seq).min().unwrap_or(0);
    let last = views.iter().map(|(_, seq)| *seq).max().unwrap_or(0);
    let shows =
        |(_, source, seq): &(u64, SourceId, u64)| *source == node.source() && (first..=last).contains(seq);
    let stills = view.stills()?.into_iter().filter(shows);
    Ok(Chosen {
        nodes: BTreeSet::from([node]),
        sources: BTreeMap::new(),
        stills: stills.map(|(rank, source, seq)| key::still(rank, source, seq)).collect(),
        other_views: views.into_iter().map(|(n, _)| n).filter(|n| *n != node).collect(),
    })
}

/// Returns what was committed at or before `until_s`. Sources stay known: their frames are not taken again.
fn of_age(view: &View<'_>, nodes: &Nodes, until_s: u64) -> Result<Chosen, ForgetError> {
    let mut epochs = BTreeSet::new();
    let mut slices: BTreeMap<SourceId, Vec<(u64, u64)>> = BTreeMap::new();
    for (epoch, log) in view.log(0)? {
        if log.committed_s <= until_s {
            epochs.insert(epoch);
            log.slices.iter().for_each(|(s, from, to)| slices.entry(*s).or_default().push((*from, *to)));
        }
    }
    let old = |source: &SourceId, seq: u64| {
        slices.get(source).is_some_and(|of| of.iter().any(|(from, to)| (*from..*to).contains(&seq)))
    };
    let stills = view.stills()?.into_iter().filter(|(_, source, seq)| old(source, *seq));
    Ok(Chosen {
        nodes: nodes.iter().filter(|(_, r)| epochs.contains(&r.epoch)).map(|(n, _)| *n).collect(),
        sources: BTreeMap::new(),
        stills: stills.map(|(rank, source, seq)| key::still(rank, source, seq)).collect(),
        other_views: Vec::new(),
    })
}

/// The first few of `names`, in words.
fn listed(names: BTreeSet<&str>, what: &str) -> String {
    if names.is_empty() {
        return format!("no {what}");
    }
    let mut text = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text += &format!(" and {} more", names.len() - LISTED);
    }
    text
}
