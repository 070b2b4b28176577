//! What each collection keeps, in bytes a node: what is allocated once all is loaded and idle, stage by stage.

use std::sync::Arc;

use differential_dataflow::VecCollection;
use differential_dataflow::input::Input;
use kinetograph_dataflows::relations::classes::classes;
use kinetograph_dataflows::relations::clusters::{Settings, clusters, mutual};
use kinetograph_dataflows::relations::edges::{inter, intra};
use kinetograph_dataflows::relations::pairs::pairs;
use kinetograph_dataflows::time::{Diff, Epoch};
use serde_json::{Value, json};
use timely::dataflow::operators::probe::Handle;

use super::counting;
use super::lists::{Given, load, parts};

type Of<'s, D> = VecCollection<'s, Epoch, D, Diff>;

const STAGES: [&str; 6] = ["input", "lists", "mutual adjacency", "edges", "pairs", "classes"];

/// The stages up to `stage`, each over those before it.
fn build(given: Of<'_, Given>, stage: usize) -> Of<'_, ()> {
    let (nodes, neighbours) = parts!(given);
    match stage {
        0 => return neighbours.flat_map(|_| None),
        1 => return mutual(neighbours).flat_map(|_| None),
        _ => {}
    }
    let clusters = clusters(neighbours, &Settings::default());
    if stage == 2 {
        return clusters.flat_map(|_| None);
    }
    let inter = inter(clusters);
    let intra = intra(nodes.clone());
    if stage == 3 {
        return inter.concat(intra).flat_map(|_| None);
    }
    let pairs = pairs(inter.clone(), nodes.clone()).flat_map(|_| None);
    if stage == 4 {
        return pairs.concat(intra.flat_map(|_| None));
    }
    pairs.concat(classes(nodes, inter.concat(intra), Arc::default()).flat_map(|_| None))
}

fn kept(given: &Arc<Vec<(Given, Diff)>>, stage: usize) -> isize {
    let given = given.clone();
    timely::execute_directly(move |worker| {
        let before = counting::bytes();
        let probe = Handle::new();
        let mut input = worker.dataflow(|scope| {
            let (input, collection) = scope.new_collection::<Given, Diff>();
            build(collection, stage).probe_with(&probe);
            input
        });
        let mut epoch = 0;
        let idle = std::iter::repeat_n(&[][..], 100);
        for changes in given.chunks(100_000).chain(idle) {
            changes.iter().for_each(|(record, diff)| input.update(record.clone(), *diff));
            epoch += 1;
            input.advance_to(epoch);
            input.flush();
            worker.step_while(|| probe.less_than(&epoch));
        }
        counting::bytes() - before
    })
}

pub(crate) fn measure(nodes: u64) -> Value {
    let given = Arc::new(load(nodes));
    counting::start();
    let kept: Vec<isize> = (0..STAGES.len()).map(|stage| kept(&given, stage)).collect();
    let a_node = |bytes: isize| bytes as f64 / nodes as f64;
    let mut value = json!({ "all": a_node(kept[STAGES.len() - 1]) });
    for (stage, name) in STAGES.iter().enumerate() {
        let below = if stage == 0 { 0 } else { kept[stage - 1] };
        value[*name] = json!(a_node(kept[stage] - below));
    }
    value
}
