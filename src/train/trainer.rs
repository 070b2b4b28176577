//! The training loop.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use tch::Tensor;

use super::TrainError;
use super::checkpoint::{self, CheckpointError, State};
use super::crops::{Crops, push_view};
use super::device;
use super::feed::Feed;
use super::history::{History, Line};
use super::lock;
use super::loss;
use super::net::Network;
use super::replay::Buffer;
use super::settings::Settings;
use super::sgd::Sgd;
use super::triplet::{Batch, Mining};
use super::view::{Kind, View};
use crate::lock::FileLock;

/// The longest wait for news; a stop is seen after it.
const PATIENCE: Duration = Duration::from_millis(200);
/// Once nothing more can come, draws in a row without a single usable triplet after which training ends.
const FRUITLESS: u32 = 64;
/// First and last losses that a summary averages.
const ENDS: usize = 10;

/// The result of a training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Steps made in all, resumed ones included.
    pub steps: u64,
    /// Mean loss of the first ten steps.
    pub loss_first: f32,
    /// Mean loss of the last ten steps.
    pub loss_last: f32,
    /// Steps a second since this start, waiting left out.
    pub steps_per_s: f64,
    /// The step this start resumed from.
    pub resumed_from: Option<u64>,
    /// Drawn pairs that had no valid negative.
    pub no_negative: u64,
    /// Crops that could not be decoded.
    pub unreadable: u64,
}

/// The state of a training, for others to look at while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Steps made.
    pub steps: AtomicU64,
    /// Steps allowed so far by the nodes that came.
    pub allowed: AtomicU64,
    /// The last epoch taken in.
    pub epoch: AtomicU64,
    /// Nodes in the graph.
    pub nodes: AtomicU64,
    /// Positives in the replay buffer.
    pub positives: AtomicU64,
    /// The last loss, as the bits of an f32.
    pub loss_bits: AtomicU32,
}

impl Progress {
    /// The last loss.
    pub fn loss(&self) -> f32 {
        f32::from_bits(self.loss_bits.load(Ordering::Relaxed))
    }
}

/// The result of one attempt at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stepped {
    /// A step, with its loss.
    Done(f32),
    /// There was nothing to draw, or nothing drawn had a negative or its crops.
    Nothing,
}

/// A training under way.
pub struct Trainer<F> {
    feed: F,
    settings: Settings,
    dir: PathBuf,
    network: Network,
    sgd: Sgd,
    view: View,
    buffer: Buffer,
    crops: Crops,
    state: State,
    history: History,
    progress: Arc<Progress>,
    resumed_from: Option<u64>,
    started_at: (u64, f64),
    written: Option<u64>,
    /// Held for its lock.
    _lock: FileLock,
}

impl<F: Feed> Trainer<F> {
    /// Opens the training in `dir` (made if missing): goes on from its newest whole checkpoint, or starts anew. The
    /// calling thread is the one that must train: the number of threads is set for it.
    ///
    /// # Errors
    /// [`TrainError`], among others when the checkpoint is of another network than the settings'.
    pub fn open(
        feed: F,
        settings: Settings,
        dir: &Path,
        progress: Arc<Progress>,
    ) -> Result<Self, TrainError> {
        settings.check().map_err(TrainError::Settings)?;
        let io = |source| TrainError::Io { path: dir.into(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let lock = lock::take(dir).map_err(io)?;
        let device = device::open(settings.device)?;
        let threads = settings.threads_here();
        tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
        match checkpoint::newest(dir)? {
            Some(found) => Self::resume(feed, settings, dir, lock, progress, device, &found),
            None => {
                let network = Network::new(settings.net, settings.norm, settings.seed, device)?;
                let weights = network.trainable().len();
                // Streams of one seed: 1 draws pairs, 2 the rest.
                let rng = Pcg32::new(settings.seed, 2);
                let buffer = Buffer::new(settings.replay, settings.replay_capacity, settings.seed);
                let state = State::fresh(settings.clone(), threads, rng, Pcg32::seed_from_u64(settings.seed));
                Ok(Trainer {
                    feed,
                    sgd: Sgd::new(weights, settings.lr, settings.momentum, settings.weight_decay),
                    network,
                    view: View::default(),
                    buffer,
                    crops: Crops::new(settings.crops_cached),
                    state,
                    history: History::open(dir, 0).map_err(io)?,
                    progress,
                    resumed_from: None,
                    started_at: (0, 0.0),
                    written: None,
                    settings,
                    dir: dir.into(),
                    _lock: lock,
                })
            }
        }
    }

    fn resume(
        mut feed: F,
        settings: Settings,
        dir: &Path,
        lock: FileLock,
        progress: Arc<Progress>,
        device: tch::Device,
        found: &checkpoint::Checkpoint,
    ) -> Result<Self, TrainError> {
        let mut state = found.state().clone();
        let then = &state.settings;
        if (then.net, then.norm, then.replay) != (settings.net, settings.norm, settings.replay) {
            return Err(TrainError::Checkpoint(CheckpointError::Foreign {
                file: found.file().into(),
                reason: format!(
                    "it was trained with net {}, norm {:?} and replay {:?}, not {}, {:?} and {:?}; train in another \
                     folder, or with its settings",
                    then.net, then.norm, then.replay, settings.net, settings.norm, settings.replay
                ),
            }));
        }
        let threads = settings.threads_here();
        if threads != state.threads {
            tracing::warn!(
                then = state.threads,
                now = threads,
                "another number of threads rounds differently: this resumes, but not bit for bit"
            );
        }
        let network = found.network(device)?;
        let mut sgd =
            Sgd::new(network.trainable().len(), settings.lr, settings.momentum, settings.weight_decay);
        sgd.restore(found.momentum(&network)?);
        let mut view = View::default();
        if let Some(epoch) = state.epoch {
            view.apply(&feed.as_of(epoch)?);
            view.restore_order(&found.order()?, state.nodes_ever);
        }
        let mut buffer = Buffer::load(settings.replay, settings.replay_capacity, found.replay()?);
        let strangers = buffer.keep_only(&view);
        if strangers > 0 {
            tracing::warn!(
                strangers,
                "the checkpoint's replay buffer held pairs that the graph of its epoch has not"
            );
        }
        let io = |source| TrainError::Io { path: dir.into(), source };
        let history = History::open(dir, state.step).map_err(io)?;
        (state.settings, state.threads) = (settings.clone(), threads);
        progress.steps.store(state.step, Ordering::Relaxed);
        Ok(Trainer {
            feed,
            crops: Crops::new(settings.crops_cached),
            network,
            sgd,
            view,
            buffer,
            history,
            progress,
            resumed_from: Some(state.step),
            started_at: (state.step, state.seconds),
            written: Some(state.step),
            state,
            settings,
            dir: dir.into(),
            _lock: lock,
        })
    }

    /// Trains until `stop` is set, `max_steps` are made, or the feed has ended and its nodes are used up; then writes a
    /// checkpoint.
    ///
    /// # Errors
    /// [`TrainError`]. Checkpoints written before are still good.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<Summary, TrainError> {
        let mut fruitless = 0;
        while !stop.load(Ordering::Relaxed) && self.settings.max_steps.is_none_or(|max| self.state.step < max)
        {
            let may_step = self.state.step < self.allowed() && !self.buffer.is_empty();
            let wait = if may_step && fruitless == 0 { Duration::ZERO } else { PATIENCE };
            let ended = self.feed.ended();
            let wait = if ended { Duration::ZERO } else { wait };
            let news = self.take_in(wait)?;
            if news {
                fruitless = 0;
            } else if ended && (!may_step || fruitless >= FRUITLESS) {
                break;
            }
            if self.state.step >= self.allowed() || self.buffer.is_empty() {
                continue;
            }
            match self.step()? {
                Stepped::Nothing => fruitless += 1,
                Stepped::Done(_) => {
                    fruitless = 0;
                    if self.state.step.is_multiple_of(self.settings.checkpoint_every) {
                        self.write_checkpoint()?;
                    }
                }
            }
        }
        self.write_checkpoint()?;
        Ok(self.summary())
    }

    /// Takes in what was committed since, waiting at most `wait` for it. Whether there was anything.
    ///
    /// # Errors
    /// [`TrainError::Feed`] when the graph cannot be read.
    pub fn take_in(&mut self, wait: Duration) -> Result<bool, TrainError> {
        let Some(delta) = self.feed.after(self.view.epoch(), wait)? else { return Ok(false) };
        let changes = self.view.apply(&delta);
        self.buffer.follow(&changes);
        self.crops.forget(&changes.retired);
        let (transitive, intra) = self.buffer.len();
        self.progress.epoch.store(delta.epoch, Ordering::Relaxed);
        self.progress.nodes.store(self.view.nodes() as u64, Ordering::Relaxed);
        self.progress.positives.store((transitive + intra) as u64, Ordering::Relaxed);
        self.progress.allowed.store(self.allowed(), Ordering::Relaxed);
        Ok(true)
    }

    /// One step over what the view knows: draws pairs, finds their negatives, moves the weights.
    ///
    /// # Errors
    /// [`TrainError`], among others when the loss is no number any more.
    pub fn step(&mut self) -> Result<Stepped, TrainError> {
        let begun = Instant::now();
        let drawn: Vec<_> = (0..self.settings.batch_pairs).map_while(|_| self.buffer.draw()).collect();
        let mut batch = Batch::new(&self.view, &drawn, self.settings.negatives, &mut self.state.rng);
        let (pixels, missing) = self.load(&batch)?;
        batch.leave_out(&missing);
        self.state.no_negative += batch.no_negative as u64;
        if batch.pairs.is_empty() {
            return Ok(Stepped::Nothing);
        }
        let features = self.network.forward(&self.network.input(&pixels)?, true)?;
        let distances = loss::distances(&features)?;
        let flat = distances.f_detach()?.f_to_device(tch::Device::Cpu)?.f_reshape([-1i64])?;
        let now: Vec<f32> = Vec::try_from(&flat)?;
        let (triplets, hard) = batch.triplets(&now, self.mining(), &mut self.state.rng);
        let loss = loss::hinge(&distances, &triplets, self.settings.margin)?;
        let value = f64::try_from(&loss)? as f32;
        if !value.is_finite() {
            return Err(TrainError::NotFinite { step: self.state.step + 1, loss: value });
        }
        loss.f_backward()?;
        self.sgd.step(&self.network.trainable())?;

        let state = &mut self.state;
        state.step += 1;
        state.epoch = self.view.epoch();
        state.seconds += begun.elapsed().as_secs_f64();
        if state.first_losses.len() < ENDS {
            state.first_losses.push(value);
        }
        if state.last_losses.len() == ENDS {
            state.last_losses.remove(0);
        }
        state.last_losses.push(value);
        let intra = batch.pairs.iter().filter(|p| p.kind == Kind::Intra).count();
        let line = Line {
            step: state.step,
            epoch: state.epoch.unwrap_or(0),
            loss: value,
            transitive: batch.pairs.len() - intra,
            intra,
            hard_share: hard as f32 / triplets.len() as f32,
            no_negative: batch.no_negative,
            seconds: state.seconds,
        };
        self.history.push(&line).map_err(|source| TrainError::Io { path: self.dir.clone(), source })?;
        self.progress.steps.store(state.step, Ordering::Relaxed);
        self.progress.loss_bits.store(value.to_bits(), Ordering::Relaxed);
        Ok(Stepped::Done(value))
    }

    /// The views' pixels, each mirrored by an even chance, and which of them are missing (black then).
    fn load(&mut self, batch: &Batch) -> Result<(Vec<u8>, Vec<bool>), TrainError> {
        let mut pixels = Vec::with_capacity(batch.nodes.len() * super::crops::BYTES);
        let mut missing = Vec::with_capacity(batch.nodes.len());
        for node in &batch.nodes {
            let mirror = self.state.rng.random();
            let crop = self.crops.get(*node, &mut self.feed)?;
            missing.push(crop.is_none());
            match crop {
                Some(crop) => push_view(&crop, mirror, &mut pixels),
                None => pixels.resize(pixels.len() + super::crops::BYTES, 0),
            }
        }
        Ok((pixels, missing))
    }

    fn mining(&self) -> Mining {
        let young = self.state.step < self.settings.random_only_steps;
        Mining {
            negatives: self.settings.negatives,
            hard: if young { 0 } else { self.settings.hard_negatives },
            hardest: self.settings.hardest,
        }
    }

    /// Steps allowed by the nodes that came so far.
    fn allowed(&self) -> u64 {
        (self.view.nodes_ever() as f64 * self.settings.updates_per_node) as u64
    }

    /// Writes a checkpoint of this moment, unless this step has one or is none yet.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`]; earlier ones are then still there.
    pub fn write_checkpoint(&mut self) -> Result<(), TrainError> {
        if self.state.step == 0 || self.written == Some(self.state.step) {
            return Ok(());
        }
        let (transitive, intra, rng) = self.buffer.save();
        let (order, ever) = self.view.order();
        // The replay buffer and the order are of the view's epoch, which may be newer than the last step's.
        (self.state.replay_rng, self.state.nodes_ever, self.state.epoch) = (rng, ever, self.view.epoch());
        let replay = (transitive, intra);
        let kept = self.settings.checkpoints_kept;
        checkpoint::write(&self.dir, &self.state, &self.network, &self.sgd, &replay, &order, kept)?;
        self.written = Some(self.state.step);
        Ok(())
    }

    /// Returns the result so far.
    pub fn summary(&self) -> Summary {
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len().max(1) as f32;
        let (steps_then, seconds_then) = self.started_at;
        let seconds = self.state.seconds - seconds_then;
        Summary {
            steps: self.state.step,
            loss_first: mean(&self.state.first_losses),
            loss_last: mean(&self.state.last_losses),
            steps_per_s: if seconds > 0.0 { (self.state.step - steps_then) as f64 / seconds } else { 0.0 },
            resumed_from: self.resumed_from,
            no_negative: self.state.no_negative,
            unreadable: self.crops.unreadable(),
        }
    }

    /// The network as it is now.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The graph as training knows it now.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Features of the current network for raw crops, for looking at: n x d.
    ///
    /// # Errors
    /// [`TrainError::Torch`].
    pub fn features(&self, pixels: &[u8]) -> Result<Tensor, TrainError> {
        let _no_grad = tch::no_grad_guard();
        Ok(self.network.forward(&self.network.input(pixels)?, false)?)
    }
}

/// Trains on a thread of its own. Nothing waits for it: it reads committed epochs only, at its own pace. Setting `stop`
/// ends it after the step it is in, with a checkpoint.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    feed: Box<dyn Feed>,
    settings: Settings,
    dir: &Path,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
) -> io::Result<JoinHandle<Result<Summary, TrainError>>> {
    let dir = dir.to_path_buf();
    std::thread::Builder::new()
        .name("trainer".into())
        .spawn(move || Trainer::open(feed, settings, &dir, progress)?.run(&stop))
}
