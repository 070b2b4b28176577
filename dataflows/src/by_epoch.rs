//! Hands an operator its input one closed epoch at a time.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use crate::time::{Diff, Epoch};

/// What came of an epoch that is still open, with the right to answer at it.
type Open<D> = (Capability<Epoch>, Vec<(D, Diff)>);

/// The epoch that is closed and not through: what is left of its changes.
type Closed<D> = (Epoch, Capability<Epoch>, std::vec::IntoIter<(D, Diff)>);

/// Records that an operator emits before it lets others take them up.
const EMITTED_AT_ONCE: usize = 1 << 16;

/// Gathers `updates` until an epoch is closed, then calls `logic` with all that this worker got of it: epochs in
/// order, none twice, each sorted and net (no record twice, no zero difference). What `logic` returns is emitted at
/// that epoch.
pub(super) fn by_epoch<'s, D, D2, P, L>(
    updates: VecCollection<'s, Epoch, D, Diff>,
    pact: P,
    name: &str,
    logic: L,
) -> VecCollection<'s, Epoch, D2, Diff>
where
    D: Data,
    D2: Data,
    P: ParallelizationContract<Epoch, Vec<(D, Epoch, Diff)>>,
    L: FnMut(Vec<(D, Diff)>) -> Vec<(D2, Diff)> + 'static,
{
    by_epoch_in_parts(updates, pact, name, usize::MAX, logic)
}

/// As [`by_epoch`], but calls `logic` with at most `part` changes at a time, in order. For an operator that emits much
/// more than it is given: others take up what it emits before it goes on, so that a large epoch is never in memory whole.
pub(super) fn by_epoch_in_parts<'s, D, D2, P, L>(
    updates: VecCollection<'s, Epoch, D, Diff>,
    pact: P,
    name: &str,
    part: usize,
    mut logic: L,
) -> VecCollection<'s, Epoch, D2, Diff>
where
    D: Data,
    D2: Data,
    P: ParallelizationContract<Epoch, Vec<(D, Epoch, Diff)>>,
    L: FnMut(Vec<(D, Diff)>) -> Vec<(D2, Diff)> + 'static,
{
    let scope = updates.inner.scope();
    updates
        .inner
        .unary_frontier(pact, name, move |_, info| {
            let again = scope.activator_for(info.address);
            let mut open: BTreeMap<Epoch, Open<D>> = BTreeMap::new();
            let mut closed: Option<Closed<D>> = None;
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
                let mut emitted = 0;
                loop {
                    if closed.is_none()
                        && let Some(entry) = open.first_entry()
                        && !frontier.less_equal(entry.key())
                    {
                        let (epoch, (cap, mut changes)) = entry.remove_entry();
                        consolidate(&mut changes);
                        closed = Some((epoch, cap, changes.into_iter()));
                    }
                    let Some((epoch, cap, changes)) = &mut closed else { break };
                    if emitted >= EMITTED_AT_ONCE {
                        again.activate();
                        break;
                    }
                    let net = logic(match changes.len() <= part {
                        true => std::mem::take(changes).collect(),
                        false => changes.take(part).collect(),
                    });
                    emitted += net.len();
                    let net = net.into_iter().map(|(record, diff)| (record, *epoch, diff));
                    output.session(&*cap).give_iterator(net);
                    if changes.len() == 0 {
                        closed = None;
                    }
                }
            }
        })
        .as_collection()
}
