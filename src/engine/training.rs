//! Training beside a run, on its own thread.

#[cfg(feature = "train")]
pub use with_libtorch::{Training, start};
#[cfg(not(feature = "train"))]
pub use without_libtorch::{Training, start};

/// The result of a training.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trained {
    /// Steps over the life of the state's trainer.
    pub steps: u64,
    /// Mean loss of the first steps.
    pub loss_first: Option<f64>,
    /// Mean loss of the last steps.
    pub loss_last: Option<f64>,
    /// Steps of this run, each second spent in them.
    pub steps_per_s: f64,
    /// Seconds spent in the steps of this run.
    pub seconds: f64,
}

#[cfg(feature = "train")]
mod with_libtorch {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::JoinHandle;

    use anyhow::anyhow;

    use super::Trained;
    use crate::config::Config;
    use crate::engine::feed::StateFeed;
    use crate::engine::lifecycle::Lifecycle;
    use crate::state::State;
    use crate::train::TrainError;
    use crate::train::trainer::{Progress, Summary, spawn};

    /// A training under way.
    pub struct Training {
        thread: JoinHandle<Result<Summary, TrainError>>,
        stop: Arc<AtomicBool>,
        progress: Arc<Progress>,
    }

    /// Starts training on what the run of `life` commits to `state`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(config: &Config, state: &State, life: &Arc<Lifecycle>) -> anyhow::Result<Training> {
        let feed = Box::new(StateFeed::of_run(state.clone(), life.clone()));
        let (stop, progress) = (Arc::new(AtomicBool::new(false)), Arc::new(Progress::default()));
        let thread = spawn(feed, config.train.clone(), &state.train_dir(), stop.clone(), progress.clone())?;
        Ok(Training { thread, stop, progress })
    }

    impl Training {
        /// Returns true when it has ended.
        pub fn is_finished(&self) -> bool {
            self.thread.is_finished()
        }

        /// Steps made.
        pub fn steps(&self) -> u64 {
            self.progress.steps.load(Ordering::Relaxed)
        }

        /// The last loss.
        pub fn loss(&self) -> f64 {
            f64::from(self.progress.loss())
        }

        /// Ends it after the step it is in, with a checkpoint.
        ///
        /// # Errors
        /// The error it failed with.
        pub fn join(self) -> anyhow::Result<Trained> {
            self.stop.store(true, Ordering::Relaxed);
            let summary = self.thread.join().map_err(|_| anyhow!("the trainer panicked"))??;
            let some = |loss: f32| (summary.steps > 0).then_some(f64::from(loss));
            let made = summary.steps - summary.resumed_from.unwrap_or(0);
            Ok(Trained {
                steps: summary.steps,
                loss_first: some(summary.loss_first),
                loss_last: some(summary.loss_last),
                steps_per_s: summary.steps_per_s,
                seconds: if summary.steps_per_s > 0.0 { made as f64 / summary.steps_per_s } else { 0.0 },
            })
        }
    }
}

#[cfg(not(feature = "train"))]
mod without_libtorch {
    use std::sync::Arc;

    use anyhow::bail;

    use super::Trained;
    use crate::config::Config;
    use crate::engine::lifecycle::Lifecycle;
    use crate::state::State;

    /// A training, which this program cannot do.
    pub enum Training {}

    /// Says that this program was built without training.
    ///
    /// # Errors
    /// Always.
    pub fn start(_: &Config, _: &State, _: &Arc<Lifecycle>) -> anyhow::Result<Training> {
        bail!("this kinetograph was built without the feature `train`; use --no-train")
    }

    impl Training {
        /// Never asked.
        pub fn is_finished(&self) -> bool {
            match *self {}
        }

        /// Never asked.
        pub fn steps(&self) -> u64 {
            match *self {}
        }

        /// Never asked.
        pub fn loss(&self) -> f64 {
            match *self {}
        }

        /// Never asked.
        ///
        /// # Errors
        /// Never.
        pub fn join(self) -> anyhow::Result<Trained> {
            match self {}
        }
    }
}
