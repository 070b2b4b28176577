//! Transitive pairs, one record a reason.

use differential_dataflow::VecCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{Pair, PairKind};
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::collection::{Collection, Export, History, Labels, member};
use crate::recompute::relations;
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// A pair with its reason.
#[derive(Clone, Copy, Debug)]
pub struct Pairs;

impl Collection for Pairs {
    type Record = Pair;
    type Key = Pair;
    type Value = ();

    const NAME: &'static str = "pairs";
    const TABLE: Table = Table::Pairs;

    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Pair, Diff> {
        graph.closure.pairs.clone()
    }

    fn parts(pair: &Pair) -> (&Pair, &()) {
        (pair, &())
    }

    fn join(pair: Pair, (): ()) -> Pair {
        pair
    }

    fn home(pair: &Pair) -> NodeId {
        pair.a
    }

    fn nodes(pair: &Pair, (): &(), see: &mut dyn FnMut(NodeId)) {
        [pair.a, pair.b, pair.via_a, pair.via_b].into_iter().for_each(see);
    }

    fn key_bytes(pair: &Pair) -> Vec<u8> {
        key::pair(pair)
    }

    fn value_bytes((): &()) -> Vec<u8> {
        Vec::new()
    }

    fn read_key(bytes: &[u8]) -> Option<Pair> {
        key::pair_at(bytes)
    }

    fn read_value(_: &[u8]) -> Option<()> {
        Some(())
    }

    fn labels() -> Labels<Self> {
        Labels::Meant
    }

    fn history() -> History<Self> {
        History::Delta { of: |delta| &delta.pairs, of_mut: |delta| &mut delta.pairs }
    }

    fn export() -> Export<Self> {
        Export::Table {
            file: "pairs.tsv",
            columns: &["a", "b", "kind", "via_a", "via_b"],
            rows: |pairs, _, show| {
                let mut count = 0;
                for (pair, ()) in pairs {
                    show(&[&pair.a, &pair.b, &kind_name(pair.kind), &pair.via_a, &pair.via_b])?;
                    count += 1;
                }
                Ok(vec![("pairs", count)])
            },
        }
    }

    fn recompute(work: &mut Work<'_>) -> Vec<(Pair, ())> {
        let pairs = relations::pairs(&work.inter, &work.tracks);
        let pairs = match work.rules.max_pairs_per_node {
            0 => pairs,
            most => relations::at_most(pairs, most),
        };
        pairs.into_iter().map(|pair| (pair, ())).collect()
    }

    fn difference(pair: &Pair, found: Option<&()>, _: Option<&()>) -> String {
        let Pair { a, b, kind, via_a, via_b } = pair;
        let words = format!("pair {a} - {b} ({}, over {via_a} - {via_b})", kind_name(*kind));
        member(&words, found.is_some())
    }
}

/// The name of a kind of pair: a dash marks the ends that are another view.
pub fn kind_name(kind: PairKind) -> &'static str {
    match kind {
        PairKind::BothMoved => "A'-B'",
        PairKind::AMoved => "A'-B",
        PairKind::BMoved => "A-B'",
    }
}
