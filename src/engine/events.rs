//! The events of a run, told to whoever listens.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use serde::{Deserialize, Serialize};

/// Events that wait for one listener; what comes when as many wait is missed by it.
const CAPACITY: usize = 4096;
/// Events that a listener who comes late is told first.
const REMEMBERED: usize = 1024;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The contents of the state are back in memory and checked.
    Restored {
        /// The epoch it was committed at.
        epoch: u64,
    },
    /// A source was given its number.
    SourceAdded {
        /// Its number.
        id: u32,
        /// Its address.
        uri: String,
    },
    /// A source is being read from now on.
    SourceOpened {
        /// Its number.
        id: u32,
        /// Its address.
        uri: String,
        /// The number of the first frame that is not committed.
        position: u64,
    },
    /// A source was read to its end, and that is committed.
    SourceEnded {
        /// Its number.
        id: u32,
        /// Its address.
        uri: String,
        /// Frames committed of it.
        frames: u64,
    },
    /// A source could not be read, or not to its end.
    SourceFailed {
        /// Its address, or the argument that named it.
        uri: String,
        /// Why, with its name.
        reason: String,
    },
    /// A live source broke off, or its reading was told to end: a gap begins.
    SourceDisconnected {
        /// Its number.
        id: u32,
        /// Its address.
        uri: String,
        /// Why.
        reason: String,
    },
    /// A source is not read until it is resumed.
    SourcePaused {
        /// Its number.
        id: u32,
    },
    /// A source is read again.
    SourceResumed {
        /// Its number.
        id: u32,
    },
    /// A source is not read any more. What came of it stays.
    SourceRemoved {
        /// Its number.
        id: u32,
    },
    /// An epoch that changed something is durable.
    Committed {
        /// The epoch.
        epoch: u64,
        /// Frames taken in it.
        frames: u64,
        /// Nodes that came in it.
        nodes: u64,
    },
    /// Training ended early; the graph goes on without it.
    TrainingFailed {
        /// Why.
        reason: String,
    },
    /// Something else that a person should know.
    Notice {
        /// A sentence.
        text: String,
    },
}

impl Event {
    /// Notes the event in the log, with the source and the epoch as fields.
    fn log(&self) {
        match self {
            Event::Restored { epoch } => tracing::info!(epoch, "the stored graph is back in memory"),
            Event::SourceAdded { id, uri } => tracing::info!(source = id, uri, "source added"),
            Event::SourceOpened { id, uri, position } => {
                tracing::info!(source = id, uri, position, "source opened");
            }
            Event::SourceEnded { id, uri, frames } => {
                tracing::info!(source = id, uri, frames, "source ended")
            }
            // Whoever runs the engine shows it to a person.
            Event::SourceFailed { uri, reason } => tracing::info!(uri, reason, "source failed"),
            Event::SourceDisconnected { id, uri, reason } => {
                tracing::info!(source = id, uri, reason, "source disconnected");
            }
            Event::SourcePaused { id } => tracing::info!(source = id, "source paused"),
            Event::SourceResumed { id } => tracing::info!(source = id, "source resumed"),
            Event::SourceRemoved { id } => tracing::info!(source = id, "source removed"),
            Event::Committed { epoch, frames, nodes } => {
                tracing::debug!(epoch, frames, nodes, "epoch committed");
            }
            Event::TrainingFailed { reason } => tracing::info!(reason, "training failed"),
            Event::Notice { text } => tracing::info!(text, "notice"),
        }
    }
}

/// Hands events to listeners. Nobody in the run ever waits for one.
#[derive(Debug, Default)]
pub struct Events {
    hub: Mutex<Hub>,
    missed: AtomicU64,
}

#[derive(Debug, Default)]
struct Hub {
    listeners: Vec<Sender<Event>>,
    last: VecDeque<Event>,
    closed: bool,
}

impl Events {
    /// Tells every listener, and the log.
    pub fn tell(&self, event: Event) {
        event.log();
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        hub.listeners.retain(|listener| match listener.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
        if hub.last.len() == REMEMBERED {
            hub.last.pop_front();
        }
        hub.last.push_back(event);
    }

    /// A new listener: the last events so far, then all that come, then the end of the channel when the run is over. One that does
    /// not keep up misses some, which is [counted](Events::missed).
    pub fn listen(&self) -> Receiver<Event> {
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        let (to, events) = bounded(CAPACITY);
        for event in &hub.last {
            // There is room: fewer are remembered than may wait.
            let _ = to.try_send(event.clone());
        }
        if !hub.closed {
            hub.listeners.push(to);
        }
        events
    }

    /// Says that nothing more comes: the run is over.
    pub fn close(&self) {
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        hub.closed = true;
        hub.listeners.clear();
    }

    /// Events that a listener missed because it did not keep up, over all listeners.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(number: usize) -> Event {
        Event::Notice { text: number.to_string() }
    }

    #[test]
    fn every_listener_is_told_and_one_that_sleeps_misses_what_is_counted() {
        let events = Events::default();
        events.tell(notice(0));
        let (awake, asleep) = (events.listen(), events.listen());
        for number in 1..CAPACITY + 3 {
            events.tell(notice(number));
            if number == 1 {
                assert_eq!(awake.try_iter().collect::<Vec<_>>(), [notice(0), notice(1)]);
            }
        }
        assert_eq!(awake.try_iter().count(), CAPACITY, "it had room again for all but one");
        assert_eq!(asleep.try_iter().count(), CAPACITY);
        assert_eq!(events.missed(), 1 + 3);
        let late = events.listen();
        assert_eq!(late.try_iter().count(), REMEMBERED);
        drop(late);
        events.tell(notice(0));
        assert_eq!(events.hub.lock().unwrap().listeners.len(), 2);
        events.close();
        assert_eq!(awake.iter().last(), Some(notice(0)), "the channel ends with the run");
        assert_eq!(events.listen().iter().count(), REMEMBERED);
    }
}
