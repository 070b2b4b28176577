//! The lines that a person sees while a run goes on: one for the graph, one for training.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

#[cfg(feature = "ingest")]
use crate::engine::status::Totals;

/// The interval at which the lines are drawn anew.
pub(super) const EVERY: Duration = Duration::from_millis(200);

/// The lines.
pub(super) struct Progress {
    lines: MultiProgress,
    graph: ProgressBar,
    training: ProgressBar,
    start: Instant,
}

impl Progress {
    /// Two empty lines; none at all when `quiet`, or when standard error is no terminal.
    pub(super) fn new(quiet: bool) -> Self {
        let lines = MultiProgress::new();
        let line = |name: &'static str| {
            let bar = if quiet { ProgressBar::hidden() } else { lines.add(ProgressBar::new_spinner()) };
            // The template is a constant that the tests draw.
            let style = ProgressStyle::with_template("{spinner} {prefix:8} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(name);
            bar
        };
        let (graph, training) = (line("graph"), line("training"));
        super::log::above(Some(lines.clone()));
        Progress { graph, training, start: Instant::now(), lines }
    }

    /// Draws the graph's line.
    #[cfg(feature = "ingest")]
    pub(super) fn graph(&self, totals: &Totals) {
        let Totals { sources, sources_ended, frames, nodes, retired, pairs, epoch } = totals;
        let retired = if *retired > 0 { format!(" ({retired} retired)") } else { String::new() };
        let rate = *frames as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        self.graph.set_message(format!(
            "{sources_ended}/{sources} sources done · {frames} frames ({rate:.0}/s) · {nodes} nodes{retired} · {pairs} pairs · epoch {epoch}"
        ));
        self.graph.tick();
    }

    /// Draws the trainer's line.
    pub(super) fn training(&self, steps: u64, loss: Option<f64>) {
        let loss = loss.map_or_else(String::new, |loss| format!(" · loss {loss:.3}"));
        self.training.set_message(format!("{steps} steps{loss}"));
        self.training.tick();
    }

    /// Writes a line of its own to standard error, above the others.
    pub(super) fn tell(&self, text: &str) {
        self.lines.suspend(|| eprintln!("kinetograph: {text}"));
    }

    /// Clears the lines.
    pub(super) fn clear(&self) {
        self.graph.finish_and_clear();
        self.training.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        super::log::above(None);
    }
}
