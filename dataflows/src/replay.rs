//! For tests: runs a log of changes through a dataflow and tells what its output held at every epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use differential_dataflow::input::Input;
use differential_dataflow::{Data, ExchangeData, VecCollection};
use timely::dataflow::operators::probe::Handle;

use crate::time::{Diff, Epoch};

/// The changes of each epoch, from epoch 0 on.
pub(crate) type Log<I> = Vec<Vec<(I, Diff)>>;

/// Returns what `build`'s output holds at each epoch of `log`, on `workers` workers. The records of an epoch are dealt out to
/// the workers, so a record is often retracted by another worker than brought it. `in_flight` epochs are open at once.
pub(crate) fn replay<I, O, B>(workers: usize, in_flight: usize, log: &Log<I>, build: B) -> Vec<BTreeSet<O>>
where
    I: ExchangeData + Sync,
    O: Data + Send,
    B: for<'s> Fn(VecCollection<'s, Epoch, I, Diff>) -> VecCollection<'s, Epoch, O, Diff>
        + Send
        + Sync
        + 'static,
{
    let captured = Arc::new(Mutex::new(Vec::<(Epoch, O, Diff)>::new()));
    let (sink, epochs) = (captured.clone(), log.len());
    let log = Arc::new(log.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers, sink) = (worker.index(), worker.peers(), sink.clone());
        let probe = Handle::new();
        let mut input = worker.dataflow(|scope| {
            let (input, collection) = scope.new_collection::<I, Diff>();
            build(collection)
                .inspect(move |(record, epoch, diff)| {
                    sink.lock().unwrap().push((*epoch, record.clone(), *diff));
                })
                .probe_with(&probe);
            input
        });
        for (epoch, changes) in log.iter().enumerate() {
            for (at, (record, diff)) in changes.iter().enumerate() {
                if (epoch + at) % peers == index {
                    input.update(record.clone(), *diff);
                }
            }
            let next = epoch as Epoch + 1;
            input.advance_to(next);
            input.flush();
            if next.is_multiple_of(in_flight as Epoch) {
                worker.step_or_park_while(None, || probe.less_than(&next));
            }
        }
    });
    drop(guards.unwrap());
    let captured = std::mem::take(&mut *captured.lock().unwrap());
    contents(epochs, captured)
}

fn contents<O: Ord + Clone + Debug>(epochs: usize, mut changes: Vec<(Epoch, O, Diff)>) -> Vec<BTreeSet<O>> {
    changes.sort_by_key(|(epoch, ..)| *epoch);
    let mut changes = changes.into_iter().peekable();
    let mut held: BTreeMap<O, Diff> = BTreeMap::new();
    let mut contents = Vec::new();
    for epoch in 0..epochs as Epoch {
        while let Some((_, record, diff)) = changes.next_if(|(at, ..)| *at == epoch) {
            *held.entry(record).or_default() += diff;
        }
        held.retain(|_, count| *count != 0);
        assert!(
            held.values().all(|count| *count == 1),
            "epoch {epoch} holds a record other than once: {held:?}"
        );
        contents.push(held.keys().cloned().collect());
    }
    assert!(changes.next().is_none(), "an output at an epoch that the log does not have");
    contents
}
