//! What each collection keeps, in bytes a node: what is allocated once all is loaded and idle, stage by stage.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use differential_dataflow::VecCollection;
use differential_dataflow::input::Input;
use kinetograph_dataflows::graph::classes::classes;
use kinetograph_dataflows::graph::clusters::{Settings, clusters, mutual};
use kinetograph_dataflows::graph::edges::{inter, intra};
use kinetograph_dataflows::graph::pairs::pairs;
use kinetograph_dataflows::graph::{Diff, Epoch};
use serde_json::{Value, json};
use timely::dataflow::operators::probe::Handle;

use super::lists::{Given, load, parts};

/// The system's allocator, which counts once it is told to.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: isize) {
    if COUNTS.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `block` came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: `block` came from `System` with this layout.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
        let before = BYTES.load(Ordering::Relaxed);
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
        BYTES.load(Ordering::Relaxed) - before
    })
}

pub(crate) fn measure(nodes: u64) -> Value {
    let given = Arc::new(load(nodes));
    COUNTS.store(true, Ordering::Relaxed);
    let kept: Vec<isize> = (0..STAGES.len()).map(|stage| kept(&given, stage)).collect();
    let a_node = |bytes: isize| bytes as f64 / nodes as f64;
    let mut value = json!({ "all": a_node(kept[STAGES.len() - 1]) });
    for (stage, name) in STAGES.iter().enumerate() {
        let below = if stage == 0 { 0 } else { kept[stage - 1] };
        value[*name] = json!(a_node(kept[stage] - below));
    }
    value
}
