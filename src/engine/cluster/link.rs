//! The messages of processes to one another while they run. Everything goes over process 0.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use kinetograph_dataflows::time::Epoch;
use serde::{Deserialize, Serialize};

use super::agreement::Agreement;
use super::place::ClusterOptions;
use crate::engine::events;
use crate::engine::member::Member;
use crate::engine::parts::Parts;
use crate::message::{receive, send};

/// The interval at which a process says that it is there.
const ALIVE: Duration = Duration::from_secs(2);
/// Who was not heard of for so long is gone.
const GONE: Duration = Duration::from_secs(20);

/// A message between a process and process 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) enum Message {
    /// To process 0: through with an epoch; whether something was written, durably; epochs in a row with nothing to do.
    Closed(Epoch, bool, u64),
    /// From process 0: note durably that you are through with this epoch. To process 0: it is noted.
    Mark(Epoch),
    /// From process 0: all epochs up to this one are committed by all.
    Committed(Epoch),
    /// From process 0: nothing is left to take in.
    Finished,
    /// It ends, and so do all: somebody wants it so, or for this reason.
    Ends(Option<String>),
    /// From process 0: nobody needs your store any more.
    Done,
    /// It is there.
    Alive,
}

/// The way a committer tells what it committed.
pub(in crate::engine) enum Agreed {
    /// It is the only one.
    Alone,
    /// With the committers of other processes.
    Together {
        /// Takes what it says.
        to: Sender<Message>,
        /// Epochs that it is to mark.
        marks: Receiver<Epoch>,
    },
}

/// The connections of this process that agree on things, until it is dropped.
pub(in crate::engine) struct Link {
    to: Sender<Message>,
    done: Receiver<()>,
    /// This process is over.
    over: Arc<AtomicBool>,
    /// Another ended everything.
    ended: Arc<AtomicBool>,
    lines: Vec<TcpStream>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Something that was said or happened.
enum Event {
    Said(usize, Message),
    Gone(usize, io::Error),
    /// Nothing comes from this process any more.
    Over,
}

struct Ends {
    process: usize,
    hosts: Vec<String>,
    parts: Parts,
    over: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Ends {
    /// The process as messages name it.
    fn name(&self, process: usize) -> String {
        format!("process {process} ({})", self.hosts[process])
    }

    /// A process is gone. After the end that is no news.
    fn gone(&self, process: usize, error: &io::Error) {
        if self.over.load(Ordering::Acquire) || self.parts.life.finished() || self.parts.life.stopped() {
            return;
        }
        let how = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("has not been heard of for {} s", GONE.as_secs())
            }
            _ => "is gone".to_string(),
        };
        self.ended.store(true, Ordering::Release);
        let name = self.name(process);
        self.parts.life.fail(format!(
            "{name} {how}; start it and the others again: all go on from the last epoch that all have"
        ));
    }

    /// A process ends before its time.
    fn ends(&self, process: usize, reason: Option<&String>) {
        self.ended.store(true, Ordering::Release);
        match reason {
            Some(reason) => self.parts.life.fail(format!("{}: {reason}", self.name(process))),
            None => {
                if !self.parts.life.stopped() && !self.parts.life.finished() {
                    let text = format!("{} was told to stop, so this one does", self.name(process));
                    self.parts.events.tell(events::Event::Notice { text });
                }
                self.parts.life.stop();
            }
        }
    }
}

impl Link {
    /// Begins to agree over `lines`, from epoch `start` on. Of process 0, `finish_after` says after how many quiet epochs in all processes
    /// everything is taken in; `None` for never.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(in crate::engine) fn start(
        options: &ClusterOptions,
        member: Member,
        lines: BTreeMap<usize, TcpStream>,
        start: Epoch,
        parts: &Parts,
        finish_after: Option<u64>,
    ) -> io::Result<(Self, Agreed)> {
        let (to, said) = unbounded::<Message>();
        let (events_in, events) = unbounded();
        let (marks_in, marks) = unbounded();
        let (done_in, done) = bounded(1);
        let (over, ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let ends = Ends {
            process: member.process,
            hosts: options.hosts.clone(),
            parts: parts.clone(),
            over: over.clone(),
            ended: ended.clone(),
        };
        let mut threads = Vec::new();
        let kept = lines.values().map(TcpStream::try_clone).collect::<io::Result<Vec<_>>>()?;
        for (process, line) in &lines {
            let (process, mut line, events) = (*process, line.try_clone()?, events_in.clone());
            line.set_read_timeout(Some(GONE))?;
            line.set_write_timeout(Some(GONE))?;
            threads.push(named("hears", move || {
                loop {
                    let event = match receive(&mut line) {
                        Ok(message) => Event::Said(process, message),
                        Err(error) => Event::Gone(process, error),
                    };
                    let over = matches!(event, Event::Gone(..));
                    if events.send(event).is_err() || over {
                        break;
                    }
                }
            })?);
        }
        let own = member.process;
        threads.push(named("says", move || {
            said.iter().for_each(|message| drop(events_in.send(Event::Said(own, message))));
            let _ = events_in.send(Event::Over);
        })?);
        let table = Table { lines, ends, marks: marks_in, done: done_in };
        let agreement = (own == 0).then(|| Agreement::new(member.of, start));
        let on_panic = parts.life.clone();
        threads.push(named("agrees", move || {
            let run = AssertUnwindSafe(|| table.run(&events, agreement, finish_after));
            if catch_unwind(run).is_err() {
                on_panic.fail("agreeing with the other processes panicked; its message is above".to_string());
            }
        })?);
        let agreed = Agreed::Together { to: to.clone(), marks };
        Ok((Link { to, done, over, ended, lines: kept, threads }, agreed))
    }

    /// Tells the others that this process ends before its time: for `reason`, or because somebody wants it so. When it is another that
    /// ended everything, all know.
    pub(in crate::engine) fn ends(&self, reason: Option<String>) {
        if !self.ended.load(Ordering::Acquire) {
            let _ = self.to.send(Message::Ends(reason));
        }
    }

    /// Of process 0: tells the others that it is through. Of another: waits until process 0 is.
    pub(in crate::engine) fn wait_done(&self, process: usize, interrupted: &dyn Fn() -> bool) {
        if process == 0 {
            let _ = self.to.send(Message::Done);
            return;
        }
        while !interrupted() && self.done.recv_timeout(ALIVE / 10) == Err(RecvTimeoutError::Timeout) {}
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // What was said last goes out before the lines are cut.
        (self.to, _) = unbounded();
        let agrees = self.threads.pop();
        agrees.into_iter().for_each(|thread| drop(thread.join()));
        self.lines.iter().for_each(|line| drop(line.shutdown(Shutdown::Both)));
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(format!("cluster {name}")).spawn(run)
}

/// The thread in which everything that is said comes together.
struct Table {
    lines: BTreeMap<usize, TcpStream>,
    ends: Ends,
    marks: Sender<Epoch>,
    done: Sender<()>,
}

impl Table {
    fn run(mut self, events: &Receiver<Event>, mut agreement: Option<Agreement>, finish_after: Option<u64>) {
        let mut last_said = Instant::now();
        loop {
            match (events.recv_timeout(ALIVE), &mut agreement) {
                (Ok(Event::Over) | Err(RecvTimeoutError::Disconnected), _) => return,
                (Ok(event), Some(agreement)) => self.agree(event, agreement, finish_after),
                (Ok(event), None) => self.follow(event),
                (Err(RecvTimeoutError::Timeout), _) => {}
            }
            if last_said.elapsed() >= ALIVE {
                last_said = Instant::now();
                self.say_all(&Message::Alive);
            }
        }
    }

    /// Process 0: all that is said comes here.
    fn agree(&mut self, event: Event, agreement: &mut Agreement, finish_after: Option<u64>) {
        match event {
            Event::Said(process, Message::Closed(epoch, wrote, quiet)) => {
                agreement.closed(process, epoch, wrote, quiet);
            }
            Event::Said(process, Message::Mark(epoch)) => agreement.marked(process, epoch),
            Event::Said(process, Message::Ends(reason)) => {
                let by_us = process == self.ends.process;
                let told = reason.as_ref().map(|reason| {
                    if by_us { reason.clone() } else { format!("{}: {reason}", self.ends.name(process)) }
                });
                if !by_us {
                    self.ends.ends(process, reason.as_ref());
                }
                self.lines.remove(&process);
                return self.say_all(&Message::Ends(told));
            }
            Event::Said(_, message @ Message::Done) => return self.say_all(&message),
            Event::Said(..) | Event::Over => return,
            Event::Gone(process, error) => {
                self.lines.remove(&process);
                self.ends.gone(process, &error);
                let told = format!("{} is gone", self.ends.name(process));
                if !self.ends.parts.life.finished() {
                    self.say_all(&Message::Ends(Some(told)));
                }
                return;
            }
        }
        let news = agreement.news();
        for (process, epoch) in news.mark {
            match process == self.ends.process {
                true => drop(self.marks.send(epoch)),
                false => self.say(process, &Message::Mark(epoch)),
            }
        }
        if let Some(epoch) = news.announce {
            self.ends.parts.life.commit(epoch);
            self.say_all(&Message::Committed(epoch));
        }
        if finish_after.is_some_and(|quiet| agreement.idle(quiet)) && !self.ends.parts.life.finished() {
            self.ends.parts.life.finish();
            self.say_all(&Message::Finished);
        }
    }

    /// Another process: what it says goes to process 0, and what process 0 says is done.
    fn follow(&mut self, event: Event) {
        match event {
            Event::Said(process, message) if process == self.ends.process => self.say(0, &message),
            Event::Said(_, Message::Mark(epoch)) => drop(self.marks.send(epoch)),
            Event::Said(_, Message::Committed(epoch)) => self.ends.parts.life.commit(epoch),
            Event::Said(_, Message::Finished) => self.ends.parts.life.finish(),
            Event::Said(process, Message::Ends(reason)) => {
                self.ends.ends(process, reason.as_ref());
                let _ = self.done.try_send(());
            }
            Event::Said(_, Message::Done) => drop(self.done.try_send(())),
            Event::Said(..) | Event::Over => {}
            Event::Gone(process, error) => {
                self.ends.gone(process, &error);
                let _ = self.done.try_send(());
            }
        }
    }

    /// Who cannot be told is found to be gone by whoever listens.
    fn say(&mut self, process: usize, message: &Message) {
        if let Some(line) = self.lines.get_mut(&process) {
            let _ = send(line, message);
        }
    }

    fn say_all(&mut self, message: &Message) {
        self.lines.values_mut().for_each(|line| drop(send(line, message)));
    }
}
