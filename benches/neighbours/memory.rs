//! What vectors, search, places and policy keep, in bytes a node, once all is loaded and idle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use differential_dataflow::AsCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::kernels::vector::{Precision, Vector};
use kinetograph_dataflows::index::node::Row;
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::index::partition::policy::{CodebookKind, Deciding, Settings};
use kinetograph_dataflows::index::quantize::Projecting;
use kinetograph_dataflows::index::quantize::Storage;
use kinetograph_dataflows::index::search::neighbours::neighbours;
use kinetograph_dataflows::time::{Diff, Epoch};
use serde_json::{Value, json};
use timely::dataflow::operators::Input as _;
use timely::dataflow::operators::probe::Handle;

use crate::counting;
use crate::rates::node;
use crate::vectors::Clusters;

/// Rows of an epoch.
const LOAD: usize = 2000;
/// Epochs without rows at the end, until the codebook is at rest.
const IDLE: usize = 16;

/// Of `nodes` nodes with clustered vectors of `d` halves in growing cells of the default size, ten neighbours, one worker. The product
/// sees projections on so many `directions`, or for 0 what measures best.
pub(crate) fn measure(nodes: usize, d: usize, directions: usize) -> Value {
    let projection = if directions == 0 { Projecting::Measured } else { Projecting::First(directions) };
    let settings = Settings {
        codebook: CodebookKind::Growing { cap: 4096, try_every_epochs: 1 },
        storage: Storage::Words,
        projection,
        ..Settings::default()
    };
    let mut clusters = Clusters::new(nodes, d);
    timely::execute_directly(move |worker| {
        counting::start();
        let before = counting::bytes();
        let moved = Arc::new(Mutex::new(Vec::new()));
        let probe = Handle::new();
        let (mut input, mut decisions) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (row_input, rows) = scope.new_input::<Vec<(Row, Epoch, Diff)>>();
            let (decision_input, decisions) = scope.new_input::<Vec<((u64, Decision), Epoch, Diff)>>();
            let all = neighbours(rows.as_collection(), decisions.as_collection(), &settings, Arc::default());
            all.neighbours.probe_with(&probe);
            let moved = moved.clone();
            all.cells
                .inspect(move |(change, _, diff)| moved.lock().expect("one worker").push((*change, *diff)))
                .probe_with(&probe);
            (row_input, decision_input)
        });
        // A run's committer keeps these, too.
        let mut vectors: HashMap<NodeId, Vector> = HashMap::new();
        let (mut deciding, mut codebook) = (Deciding::new(settings), Codebook::default());
        let mut epoch: Epoch = 0;
        let starts = (0..nodes).step_by(LOAD).chain(std::iter::repeat_n(nodes, IDLE));
        for first in starts {
            for at in first..nodes.min(first + LOAD) {
                let vector = Vector::new(&clusters.next(), Precision::F16);
                let row = Row { id: node(at), pts_ns: at as u64 * 10_000_000_000, vector, known: None };
                vectors.insert(row.id, row.vector.clone());
                input.send((row, epoch, 1));
            }
            input.advance_to(epoch + 1);
            decisions.advance_to(epoch + 1);
            worker.step_while(|| probe.less_than(&(epoch + 1)));
            for ((node, cell), diff) in moved.lock().expect("one worker").drain(..) {
                deciding.change(node, cell, diff);
            }
            let taken = deciding.decide(epoch, &codebook, |node| vectors.get(&node).cloned());
            epoch += 1;
            for (order, decision) in taken.into_iter().enumerate() {
                codebook.apply(&decision).expect("a decision fits");
                decisions.send(((order as u64, decision), epoch, 1));
            }
        }
        moved.lock().expect("one worker").shrink_to_fit();
        let all = counting::bytes() - before;
        let of = |bytes: isize| bytes as f64 / nodes as f64;
        let copy = |make: &dyn Fn() -> Box<dyn std::any::Any>| {
            let before = counting::bytes();
            let copy = make();
            let bytes = counting::bytes() - before;
            drop(copy);
            bytes
        };
        let (deciding, vectors) = (&deciding, &vectors);
        let policy = copy(&|| Box::new(deciding.clone())) + copy(&|| Box::new(vectors.clone()));
        // Values, and the two counts before them.
        let values = vectors.values().map(|vector| vector.to_bytes().len() + 16).sum::<usize>() as isize;
        json!({
            "what": "memory", "nodes": nodes, "d": d, "directions": directions, "cells": codebook.leaves().count(),
            "vectors": of(values), "policy": of(policy), "search and places": of(all - values - policy), "all": of(all),
        })
    })
}
