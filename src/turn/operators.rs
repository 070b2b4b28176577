//! Time spent in each operator, as timely's own log tells it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

/// Time by name, all workers together.
#[derive(Debug, Default)]
pub struct Operators(Mutex<BTreeMap<String, Duration>>);

/// What one worker's log has told so far.
#[derive(Default)]
struct Heard {
    names: HashMap<usize, String>,
    /// Operators that run now, the inner ones last, each with the time at which it last began to run itself.
    running: Vec<(usize, Duration)>,
    spent: HashMap<usize, Duration>,
}

impl Heard {
    fn hear(&mut self, at: Duration, event: TimelyEvent) {
        match event {
            TimelyEvent::Operates(operator) => drop(self.names.insert(operator.id, operator.name)),
            TimelyEvent::Schedule(schedule) => {
                // A scope runs its operators: what they take is theirs, not its own.
                if let Some((id, since)) = self.running.last().copied() {
                    *self.spent.entry(id).or_default() += at.saturating_sub(since);
                }
                match schedule.start_stop {
                    StartStop::Start => self.running.push((schedule.id, at)),
                    StartStop::Stop => {
                        self.running.pop();
                        if let Some((_, since)) = self.running.last_mut() {
                            *since = at;
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

impl Operators {
    /// Listens to `worker`, before it builds its dataflow, until its log ends.
    pub fn listen(self: &Arc<Self>, worker: &Worker) {
        let Some(mut registry) = worker.log_register() else { return };
        let (mut heard, told) = (Heard::default(), self.clone());
        registry.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
            for (at, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                heard.hear(at, event);
            }
            let mut by_name = told.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, spent) in heard.spent.drain() {
                let name = heard.names.get(&id).map_or("other", String::as_str);
                *by_name.entry(name.to_string()).or_default() += spent;
            }
        });
    }

    /// Seconds by name.
    pub fn seconds(&self) -> BTreeMap<String, f64> {
        let by_name = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.iter().map(|(name, spent)| (name.clone(), spent.as_secs_f64())).collect()
    }
}
