//! Hands an operator its input one closed epoch at a time.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::{Diff, Epoch};

/// What came of an epoch that is still open, with the right to answer at it.
type Open<D> = (Capability<Epoch>, Vec<(D, Diff)>);

/// Gathers `updates` until an epoch is closed, then calls `logic` with all that this worker got of it: epochs in
/// order, none twice, each sorted and net (no record twice, no zero difference). What `logic` returns is emitted at
/// that epoch.
pub(super) fn by_epoch<'s, D, D2, P, L>(
    updates: VecCollection<'s, Epoch, D, Diff>,
    pact: P,
    name: &str,
    mut logic: L,
) -> VecCollection<'s, Epoch, D2, Diff>
where
    D: Data,
    D2: Data,
    P: ParallelizationContract<Epoch, Vec<(D, Epoch, Diff)>>,
    L: FnMut(Vec<(D, Diff)>) -> Vec<(D2, Diff)> + 'static,
{
    updates
        .inner
        .unary_frontier(pact, name, |_, _| {
            let mut open: BTreeMap<Epoch, Open<D>> = BTreeMap::new();
            move |(input, frontier), output| {
                // A message may carry records of later epochs than its own: each is kept under the record's.
                input.for_each(|cap, data| {
                    for (record, epoch, diff) in data.drain(..) {
                        let (_, changes) = open
                            .entry(epoch)
                            .or_insert_with(|| (cap.delayed(&epoch, output.output_index()), Vec::new()));
                        changes.push((record, diff));
                    }
                });
                while let Some(entry) = open.first_entry()
                    && !frontier.less_equal(entry.key())
                {
                    let (epoch, (cap, mut changes)) = entry.remove_entry();
                    consolidate(&mut changes);
                    let net = logic(changes).into_iter().map(|(record, diff)| (record, epoch, diff));
                    output.session(&cap).give_iterator(net);
                }
            }
        })
        .as_collection()
}
