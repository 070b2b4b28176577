//! embed as an operator: a vector for each view, from its stored crop.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::index::kernels::vector::Vector;
use crate::observe::embed::Embedder;
use crate::observe::stream::{Clock, Embedded, Stage};
use crate::observe::track::View;
use crate::time::{Diff, Epoch};

/// Why the embedder stopped working, if it did: without vectors the engine cannot go on.
pub type EmbedFailure = Rc<RefCell<Option<String>>>;

/// Embeds views, in batches of what arrived together.
pub fn embed<'s>(
    views: VecCollection<'s, Epoch, View, Diff>,
    embedder: Arc<dyn Embedder>,
    failure: EmbedFailure,
    clock: Arc<Clock>,
) -> VecCollection<'s, Epoch, Embedded, Diff> {
    views
        .inner
        .unary(Pipeline, "Embed", move |_, _| {
            move |input, output| {
                input.for_each(|cap, data| {
                    let crops: Vec<&[u8]> = data.iter().map(|(view, _, _)| &*view.crop).collect();
                    let vectors = match clock.time(Stage::Embed, || embedder.embed(&crops)) {
                        Ok(vectors) => vectors,
                        Err(error) => {
                            failure.borrow_mut().get_or_insert_with(|| error.to_string());
                            return;
                        }
                    };
                    let mut session = output.session(&cap);
                    let rows = vectors.chunks_exact(embedder.dim().max(1));
                    for ((view, epoch, diff), vector) in data.drain(..).zip(rows) {
                        session.give((
                            Embedded { view, vector: Vector::new(vector, embedder.precision()) },
                            epoch,
                            diff,
                        ));
                    }
                });
            }
        })
        .as_collection()
}
