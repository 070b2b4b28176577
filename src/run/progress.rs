//! What a person sees while a run goes on: one line for the graph, one for training.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often the lines are drawn anew.
pub const EVERY: Duration = Duration::from_millis(200);

/// The figures of the first line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Sources that ended.
    pub ended: u64,
    /// Sources of this run.
    pub sources: u64,
    /// Frames committed in this run.
    pub frames: u64,
    /// Nodes committed in this run.
    pub nodes: u64,
    /// Nodes that the budget took back in this run.
    pub retired: u64,
    /// Pairs that came in this run, less those that went.
    pub pairs: i64,
    /// The last committed epoch.
    pub epoch: u64,
}

/// The lines.
pub struct Progress {
    lines: MultiProgress,
    graph: ProgressBar,
    training: ProgressBar,
    start: Instant,
}

impl Progress {
    /// Two empty lines; none at all when `quiet`, or when standard error is no terminal.
    pub fn new(quiet: bool) -> Self {
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
        Progress { graph, training, start: Instant::now(), lines }
    }

    /// Draws the graph's line.
    pub fn graph(&self, figures: &Figures) {
        let Figures { ended, sources, frames, nodes, retired, pairs, epoch } = figures;
        let retired = if *retired > 0 { format!(" ({retired} retired)") } else { String::new() };
        let rate = *frames as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        self.graph.set_message(format!(
            "{ended}/{sources} sources done · {frames} frames ({rate:.0}/s) · {nodes} nodes{retired} · {pairs} pairs · epoch {epoch}"
        ));
        self.graph.tick();
    }

    /// Draws the trainer's line.
    pub fn training(&self, steps: u64, loss: f64) {
        let loss = if loss.is_finite() { format!(" · loss {loss:.3}") } else { String::new() };
        self.training.set_message(format!("{steps} steps{loss}"));
        self.training.tick();
    }

    /// Writes a line of its own to standard error, above the others.
    pub fn tell(&self, text: &str) {
        self.lines.suspend(|| eprintln!("kinetograph: {text}"));
    }

    /// Clears the lines.
    pub fn clear(&self) {
        self.graph.finish_and_clear();
        self.training.finish_and_clear();
    }
}
