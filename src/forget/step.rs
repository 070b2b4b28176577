//! The graph alone, over two epochs: what is stored, then what changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use differential_dataflow::AsCollection;
use kinetograph_dataflows::graph::closure::{Closure, closure};
use kinetograph_dataflows::graph::codebook::Decision;
use kinetograph_dataflows::graph::neighbours::{Neighbours, neighbours};
use kinetograph_dataflows::graph::node::{ClassId, Row};
use kinetograph_dataflows::graph::{Diff, Epoch, Settings};
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::observe::{Embedded, Observed};
use kinetograph_dataflows::wire::Outputs;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Input;

use crate::run::member::Member;
use crate::run::outputs::{EpochOutputs, Gathered};

/// How long a worker sleeps when others have work and it has none.
const REST: Duration = Duration::from_millis(5);

/// What the graph is given.
pub(super) struct Step {
    /// The first of the two epochs.
    pub(super) epoch: Epoch,
    /// Decisions with the epoch they take effect at, in order. Those of epochs after the second are left out.
    pub(super) decisions: Vec<(Epoch, Decision)>,
    /// What there is in the first epoch.
    pub(super) rows: Vec<Row>,
    /// What comes and goes in the second.
    pub(super) then: Vec<(Row, Diff)>,
    /// Labels of classes from before.
    pub(super) classes: Arc<HashMap<NodeId, ClassId>>,
}

/// What the two epochs change, on `workers` workers.
///
/// # Errors
/// What a worker failed with.
pub(super) fn step(settings: &Settings, given: Step, workers: usize) -> Result<[EpochOutputs; 2], String> {
    let (settings, given) = (settings.clone(), Arc::new(given));
    let epoch = given.epoch;
    let guards = timely::execute(timely::Config::process(workers.max(1)), move |worker| {
        let (gathered, probe) = (Gathered::default(), Handle::new());
        let (mut rows, mut codebook) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (rows_in, rows) = scope.new_input::<(Row, Epoch, Diff)>();
            let (codebook_in, codebook) = scope.new_input::<((u64, Decision), Epoch, Diff)>();
            let rows = rows.as_collection();
            let nodes = rows.clone().map(|row| row.id);
            let near = neighbours(rows, codebook.as_collection(), &settings.neighbours, Arc::default());
            let Neighbours { cells, groups, lists, neighbours, misfits } = near;
            let Closure { clusters, inter, pairs, classes, .. } =
                closure(nodes, neighbours, given.classes.clone(), &settings.closure);
            let embedded = scope.new_input::<(Embedded, Epoch, Diff)>().1.as_collection();
            let observed = scope.new_input::<(Observed, Epoch, Diff)>().1.as_collection();
            let outputs = Outputs {
                nodes: embedded,
                observed,
                cells,
                groups,
                lists,
                clusters,
                inter,
                pairs,
                classes,
                misfits,
            };
            gathered.attach(outputs, Member::alone(workers), &probe);
            (rows_in, codebook_in)
        });
        let mine = |at: usize| at % worker.peers() == worker.index();
        rows.advance_to(epoch);
        for (_, row) in given.rows.iter().enumerate().filter(|(at, _)| mine(*at)) {
            rows.send((row.clone(), epoch, 1));
        }
        rows.advance_to(epoch + 1);
        for (_, (row, diff)) in given.then.iter().enumerate().filter(|(at, _)| mine(*at)) {
            rows.send((row.clone(), epoch + 1, *diff));
        }
        if worker.index() == 0 {
            for (order, (effective, decision)) in given.decisions.iter().enumerate() {
                let at = epoch.max(*effective);
                if at > epoch + 1 {
                    break;
                }
                codebook.advance_to(at);
                codebook.send(((order as u64, decision.clone()), at, 1));
            }
        }
        rows.close();
        codebook.close();
        while !probe.done() {
            worker.step_or_park(Some(REST));
        }
        [gathered.take(epoch), gathered.take(epoch + 1)]
    })?;
    let mut sum = <[EpochOutputs; 2]>::default();
    for outputs in guards.join() {
        let [first, second] = outputs?;
        sum[0].merge(first);
        sum[1].merge(second);
    }
    sum.iter_mut().for_each(EpochOutputs::settle);
    Ok(sum)
}
