//! The closure's memory over thousands of epochs in which little or nothing happens.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use differential_dataflow::input::Input;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::kernels::score::Score;
use kinetograph_dataflows::index::node::{List, Neighbour};
use kinetograph_dataflows::relations::closure::closure;
use kinetograph_dataflows::relations::clusters::Settings;
use timely::dataflow::operators::probe::Handle;

/// The system's allocator, counting what is allocated.
struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: `block` came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Nodes in groups of seven; tracks of two views.
const NODES: u64 = 1400;

fn node(n: u64) -> NodeId {
    NodeId(((n / 2) << 8) | (n % 2))
}

/// Everyone else of a node's group; of one group two nodes are left out of the others' lists.
fn list(n: u64, apart: Option<u64>) -> List {
    let group = n % (NODES / 7);
    let out = |other: u64| apart == Some(group) && other < NODES * 2 / 7;
    let others = (0..7).map(|i| group + i * (NODES / 7)).filter(|other| *other != n && !out(*other));
    let mut list: List = others.map(|other| Neighbour { score: Score(0.5), node: node(other) }).collect();
    list.sort_unstable();
    list
}

#[test]
fn memory_stays_flat_over_thousands_of_epochs() {
    let (early, late, emitted) = timely::execute_directly(|worker| {
        let probe = Handle::new();
        let emitted = Arc::new(AtomicIsize::new(0));
        let sink = emitted.clone();
        let (mut nodes, mut lists) = worker.dataflow::<u64, _, _>(|scope| {
            let (nodes_in, nodes) = scope.new_collection::<NodeId, isize>();
            let (lists_in, lists) = scope.new_collection::<(NodeId, List), isize>();
            let all = closure(nodes, lists, Arc::default(), &Settings::default());
            let pairs =
                all.pairs.map(|_| ()).concat(all.clusters.map(|_| ())).concat(all.classes.map(|_| ()));
            pairs
                .inspect(move |_| {
                    sink.fetch_add(1, Ordering::Relaxed);
                })
                .probe_with(&probe);
            (nodes_in, lists_in)
        });
        for n in 0..NODES {
            nodes.insert(node(n));
            lists.insert((node(n), list(n, None)));
        }
        let mut marks = Vec::new();
        for epoch in 1..=8000u64 {
            // Every tenth epoch a group loses two of its nodes, and gets them back in the next; nothing else happens.
            let group = (epoch / 10) % (NODES / 7);
            let change = match epoch % 10 {
                4 => Some((None, Some(group))),
                5 => Some((Some(group), None)),
                _ => None,
            };
            if let Some((before, after)) = change {
                for n in (0..7).map(|i| group + i * (NODES / 7)) {
                    lists.remove((node(n), list(n, before)));
                    lists.insert((node(n), list(n, after)));
                }
            }
            nodes.advance_to(epoch);
            nodes.flush();
            lists.advance_to(epoch);
            lists.flush();
            worker.step_while(|| probe.less_than(&epoch));
            if epoch % 50 == 0 {
                marks.push(BYTES.load(Ordering::Relaxed));
            }
        }
        let most = |marks: &[isize]| marks.iter().max().copied().unwrap_or(0);
        (most(&marks[20..50]), most(&marks[120..]), emitted.load(Ordering::Relaxed))
    });
    assert!(emitted > 50_000, "too little happened: {emitted}");
    assert!(late <= early + early / 10, "{early} bytes after 2500 epochs, {late} after 8000");
}
