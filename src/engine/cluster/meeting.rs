//! Processes find one another and agree on where to start. Nothing runs before all are there and alike.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::ClusterError;
use super::door::{Door, Greeting};
use super::place::ClusterOptions;
use crate::engine::member::Member;
use crate::engine::sources::Known;
use crate::message::{receive, send};
use crate::state::StateError;

/// The first message of a process to process 0.
const TO_AGREE: &Greeting = b"kinetograph ag 2";
/// The first message of a process to another that it exchanges data with.
const FOR_DATA: &Greeting = b"kinetograph da 2";
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(100);
/// The time that a message may take that has begun, and a connection.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// The extra time that the others wait beyond process 0, so that it can say who did not come.
const LONGER: Duration = Duration::from_secs(10);
/// The interval at which it is said who is waited for.
const REMIND: Duration = Duration::from_secs(5);

/// The settings that must be the same in all processes, and where each stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Terms {
    /// By name: versions, settings, workers.
    pub(in crate::engine) alike: BTreeMap<String, String>,
    /// The last epoch that its store has.
    pub(in crate::engine) epoch: u64,
    /// True when its store never ran.
    pub(in crate::engine) new: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum Say {
    /// Who it is and where it stands.
    Hello(u32, Terms),
    /// Everybody starts from this epoch.
    Start(u64),
    /// It stands there, knows these sources, and lets its store be read at this port.
    Ready(Known, u16),
    /// All are ready.
    Go,
    /// It cannot be.
    Refused(String),
    /// To process 0: it is connected with everybody. From process 0: everybody is.
    Through,
}

/// A process among others that are about to start.
pub(in crate::engine) struct Meeting<'m> {
    options: &'m ClusterOptions,
    member: Member,
    door: Door,
    /// Of process 0, to each of the others; of another, to process 0. By process.
    lines: BTreeMap<usize, TcpStream>,
    /// Of process 0: who is connected with everybody.
    through: BTreeSet<usize>,
    /// The epoch at which everybody starts.
    pub(in crate::engine) start: u64,
}

/// The connections that the processes have when all are ready.
#[derive(Default)]
pub(in crate::engine) struct Met {
    /// To agree on epochs: of process 0, with each of the others; of another, with process 0.
    pub(in crate::engine) lines: BTreeMap<usize, TcpStream>,
    /// For the dataflow, with each of the others.
    pub(in crate::engine) mesh: BTreeMap<usize, TcpStream>,
    /// Of process 0: where the stores of the others can be read.
    pub(in crate::engine) stores: BTreeMap<usize, SocketAddr>,
}

impl<'m> Meeting<'m> {
    /// Waits for the other processes, and compares `terms`.
    ///
    /// # Errors
    /// [`ClusterError`] when one does not come or is different.
    pub(in crate::engine) fn begin(
        options: &'m ClusterOptions,
        member: Member,
        terms: &Terms,
        tell: &dyn Fn(&str),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Self, ClusterError> {
        let address = &options.hosts[member.process];
        let listen =
            |error| ClusterError::Listen { process: member.process, address: address.clone(), error };
        let mut meeting = Meeting {
            options,
            member,
            door: Door::open(address).map_err(listen)?,
            lines: BTreeMap::new(),
            through: BTreeSet::new(),
            start: terms.epoch,
        };
        let wait = Wait::new(options.patience, tell, interrupted);
        match member.process {
            0 => meeting.receive_all(terms, wait)?,
            _ => meeting.go_to_first(terms, wait)?,
        }
        Ok(meeting)
    }

    fn address(&self, process: usize) -> String {
        self.options.hosts[process].clone()
    }

    fn gone(&self, process: usize) -> impl Fn(io::Error) -> ClusterError + use<> {
        let address = self.address(process);
        move |error| ClusterError::Gone { process, address: address.clone(), error }
    }

    fn missing(&self, process: usize, reason: &str) -> ClusterError {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        ClusterError::Missing {
            process,
            address: self.address(process),
            waited: self.options.patience,
            reason,
        }
    }

    /// Process 0: everybody comes to it.
    fn receive_all(&mut self, terms: &Terms, mut wait: Wait<'_>) -> Result<(), ClusterError> {
        let mut hellos: BTreeMap<usize, Terms> = BTreeMap::new();
        while let Some(missing) = (1..self.member.of).find(|process| !hellos.contains_key(process)) {
            if !wait.goes_on(&format!("process {missing} ({})", self.address(missing)))? {
                let error = self.missing(missing, "");
                self.refuse_all(&error);
                return Err(error);
            }
            let Some((mut line, said)) = self.door.admitted(TO_AGREE) else { continue };
            match said {
                Say::Hello(process, theirs) if (1..self.member.of).contains(&(process as usize)) => {
                    let process = process as usize;
                    if self.lines.get(&process).is_some_and(here) {
                        let reason = format!("process {process} is here already");
                        let _ = send(&mut line, &Say::Refused(reason));
                        continue;
                    }
                    hellos.insert(process, theirs);
                    self.lines.insert(process, line);
                }
                Say::Hello(process, _) => {
                    let reason = format!("there are {} processes, and no {process}", self.member.of);
                    let _ = send(&mut line, &Say::Refused(reason));
                }
                // Somebody else on this port.
                _ => {}
            }
        }
        for (process, theirs) in &hellos {
            if let Err(error) = self.compare(*process, theirs, terms) {
                self.refuse_all(&error);
                return Err(error);
            }
        }
        self.start = hellos.values().map(|terms| terms.epoch).fold(terms.epoch, u64::min);
        self.say_to_all(&Say::Start(self.start))
    }

    fn compare(&self, process: usize, theirs: &Terms, ours: &Terms) -> Result<(), ClusterError> {
        let differs = |what: &str, theirs: String, ours: String| {
            Err(ClusterError::Differs {
                process,
                address: self.address(process),
                what: what.to_string(),
                theirs,
                ours,
            })
        };
        let nothing = "nothing".to_string();
        for what in theirs.alike.keys().chain(ours.alike.keys()) {
            let (theirs, ours) = (theirs.alike.get(what), ours.alike.get(what));
            if theirs != ours {
                return differs(what, theirs.unwrap_or(&nothing).clone(), ours.unwrap_or(&nothing).clone());
            }
        }
        let state = |terms: &Terms| if terms.new { "new" } else { "one to go on with" }.to_string();
        // A new one goes with those that were waiting for it when they were stopped.
        if theirs.new != ours.new && theirs.epoch.max(ours.epoch) > 0 {
            return differs("its state", state(theirs), state(ours));
        }
        Ok(())
    }

    /// Another: it goes to process 0.
    fn go_to_first(&mut self, terms: &Terms, mut wait: Wait<'_>) -> Result<(), ClusterError> {
        let (address, gone) = (self.address(0), self.gone(0));
        let mut last = String::new();
        let mut line = loop {
            if !wait.goes_on(&format!("process 0 ({address})"))? {
                return Err(self.missing(0, &last));
            }
            match connect(&address, TO_AGREE) {
                Ok(line) => break line,
                Err(error) => last = error.to_string(),
            }
        };
        send(&mut line, &Say::Hello(self.member.process as u32, terms.clone())).map_err(&gone)?;
        // Process 0 waits for the others meanwhile, with a patience of its own.
        wait.until = Instant::now() + self.options.patience + LONGER;
        match self.hear(0, &mut line, &mut wait)? {
            Say::Start(start) => self.start = start,
            Say::Refused(reason) => return Err(ClusterError::Refused { address, reason }),
            _ => return Err(gone(io::ErrorKind::InvalidData.into())),
        }
        self.lines.insert(0, line);
        Ok(())
    }

    /// This process stands at the start, knows `sources`, and lets its store be read at `store`. Waits until all are so far, lets
    /// this one `keep` the sources, as now all know the same, and connects everybody with everybody.
    ///
    /// # Errors
    /// [`ClusterError`] when one is different or gone, or what `keep` says.
    pub(in crate::engine) fn ready(
        mut self,
        sources: &Known,
        store: Option<SocketAddr>,
        keep: &dyn Fn() -> Result<(), StateError>,
        tell: &dyn Fn(&str),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Met, ClusterError> {
        let patience = self.options.patience;
        let wait = || Wait::new(patience, tell, interrupted);
        let met = match self.member.process {
            0 => self.compare_sources(sources, wait()),
            _ => self.await_go(sources, store, wait()),
        };
        let met = met.and_then(|stores| {
            keep()?;
            if self.member.process == 0 {
                self.say_to_all(&Say::Go)?;
            }
            let mesh = self.connect_all(wait())?;
            self.all_through(wait())?;
            Ok((stores, mesh))
        });
        match met {
            Ok((stores, mesh)) => Ok(Met { lines: self.lines, mesh, stores }),
            Err(error) => {
                self.give_up(&error.to_string());
                Err(error)
            }
        }
    }

    /// Process 0: waits until all are ready, and compares their `sources`. Where their stores can be read.
    fn compare_sources(
        &mut self,
        sources: &Known,
        mut wait: Wait<'_>,
    ) -> Result<BTreeMap<usize, SocketAddr>, ClusterError> {
        let mut stores = BTreeMap::new();
        for process in 1..self.member.of {
            let Some(mut line) = self.lines.remove(&process) else { continue };
            let said = self.hear(process, &mut line, &mut wait)?;
            let peer = line.peer_addr().map_err(self.gone(process))?;
            self.lines.insert(process, line);
            match said {
                Say::Ready(theirs, port) => {
                    if let Some((what, [theirs, ours])) = sources.first_unlike(&theirs) {
                        let address = self.address(process);
                        return Err(ClusterError::Differs { process, address, what, theirs, ours });
                    }
                    stores.insert(process, SocketAddr::new(peer.ip(), port));
                }
                other => return Err(self.ends(process, other)),
            }
        }
        Ok(stores)
    }

    /// Another: says that it is ready, and waits for the word.
    fn await_go(
        &mut self,
        sources: &Known,
        store: Option<SocketAddr>,
        mut wait: Wait<'_>,
    ) -> Result<BTreeMap<usize, SocketAddr>, ClusterError> {
        self.say_to_all(&Say::Ready(sources.clone(), store.map_or(0, |store| store.port())))?;
        // Process 0 waits for the others meanwhile.
        wait.until += LONGER;
        match self.hear_from(0, &mut wait)? {
            Say::Go => Ok(BTreeMap::new()),
            other => Err(self.ends(0, other)),
        }
    }

    /// Why this process cannot start, for the others.
    pub(in crate::engine) fn give_up(&mut self, reason: &str) {
        self.lines.values_mut().for_each(|line| drop(send(line, &Say::Refused(reason.to_string()))));
    }

    /// To those with a smaller number this one goes; those with a larger one come.
    fn connect_all(&mut self, mut wait: Wait<'_>) -> Result<BTreeMap<usize, TcpStream>, ClusterError> {
        let mut mesh = BTreeMap::new();
        for process in 0..self.member.process {
            let mut last = String::new();
            let mut line = loop {
                if !wait.goes_on(&format!("process {process} ({})", self.address(process)))? {
                    return Err(self.missing(process, &last));
                }
                self.listen()?;
                match connect(&self.address(process), FOR_DATA) {
                    Ok(line) => break line,
                    Err(error) => last = error.to_string(),
                }
            };
            let hello = Say::Hello(self.member.process as u32, Terms::default());
            send(&mut line, &hello).map_err(self.gone(process))?;
            mesh.insert(process, line);
        }
        while let Some(missing) = (self.member.process + 1..self.member.of).find(|p| !mesh.contains_key(p)) {
            if !wait.goes_on(&format!("process {missing} ({})", self.address(missing)))? {
                return Err(self.missing(missing, ""));
            }
            self.listen()?;
            if let Some((line, Say::Hello(process, _))) = self.door.admitted(FOR_DATA)
                && (self.member.process + 1..self.member.of).contains(&(process as usize))
            {
                mesh.insert(process as usize, line);
            }
        }
        Ok(mesh)
    }

    /// Waits until everybody is connected with everybody: only then is anything else said over the lines.
    fn all_through(&mut self, mut wait: Wait<'_>) -> Result<(), ClusterError> {
        if self.member.process > 0 {
            self.say_to_all(&Say::Through)?;
            wait.until += LONGER;
            return match self.hear_from(0, &mut wait)? {
                Say::Through => Ok(()),
                other => Err(self.ends(0, other)),
            };
        }
        while let Some(missing) = (1..self.member.of).find(|process| !self.through.contains(process)) {
            if !wait.goes_on(&format!("process {missing} ({})", self.address(missing)))? {
                return Err(self.missing(missing, "it is there, but not connected with all"));
            }
            self.listen()?;
        }
        self.say_to_all(&Say::Through)
    }

    /// Takes in what was said meanwhile: who is through, and who gives up or is gone, so that nobody waits for them.
    fn listen(&mut self) -> Result<(), ClusterError> {
        for process in 0..self.member.of {
            let Some(line) = self.lines.get_mut(&process) else { continue };
            if here(line) {
                continue;
            }
            match receive_within(line, INTRODUCTION) {
                Ok(Say::Through) if self.member.process == 0 => drop(self.through.insert(process)),
                Ok(other) => return Err(self.ends(process, other)),
                Err(error) => return Err(self.gone(process)(error)),
            }
        }
        Ok(())
    }

    /// Returns what it means that `process` says something else than that it goes on.
    fn ends(&self, process: usize, said: Say) -> ClusterError {
        let address = self.address(process);
        match (said, process) {
            (Say::Refused(reason), 0) => ClusterError::Refused { address, reason },
            (Say::Refused(reason), _) => {
                ClusterError::Gone { process, address, error: io::Error::other(reason) }
            }
            _ => self.gone(process)(io::ErrorKind::InvalidData.into()),
        }
    }

    fn hear_from(&mut self, process: usize, wait: &mut Wait<'_>) -> Result<Say, ClusterError> {
        let Some(mut line) = self.lines.remove(&process) else { return Err(self.missing(process, "")) };
        let said = self.hear(process, &mut line, wait);
        self.lines.insert(process, line);
        said
    }

    /// Returns what `process` says next; while nothing comes, `wait` says whether to go on.
    fn hear(&self, process: usize, line: &mut TcpStream, wait: &mut Wait<'_>) -> Result<Say, ClusterError> {
        let gone = self.gone(process);
        line.set_read_timeout(Some(AGAIN)).map_err(&gone)?;
        loop {
            match line.peek(&mut [0]) {
                Ok(_) => break,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if !wait.goes_on(&format!("process {process} ({})", self.address(process)))? {
                        return Err(gone(io::Error::other("it is there, but says nothing")));
                    }
                }
                Err(error) => return Err(gone(error)),
            }
        }
        receive_within(line, INTRODUCTION).map_err(gone)
    }

    fn say_to_all(&mut self, say: &Say) -> Result<(), ClusterError> {
        for process in 0..self.member.of {
            let gone = self.gone(process);
            if let Some(line) = self.lines.get_mut(&process) {
                send(line, say).map_err(gone)?;
            }
        }
        Ok(())
    }

    fn refuse_all(&mut self, error: &ClusterError) {
        self.give_up(&error.to_string());
    }
}

fn receive_within(line: &mut TcpStream, time: Duration) -> io::Result<Say> {
    line.set_read_timeout(Some(time))?;
    let said = receive(line)?;
    line.set_read_timeout(None)?;
    Ok(said)
}

fn connect(address: &str, greeting: &Greeting) -> io::Result<TcpStream> {
    let mut line = Err(io::Error::new(io::ErrorKind::NotFound, "no such host"));
    for address in address.to_socket_addrs()? {
        line = TcpStream::connect_timeout(&address, INTRODUCTION);
        if line.is_ok() {
            break;
        }
    }
    let mut line = line?;
    line.set_nodelay(true)?;
    line.write_all(greeting)?;
    Ok(line)
}

/// Returns true when somebody is still at the other end of `line` and says nothing.
fn here(line: &TcpStream) -> bool {
    let peeked = line.set_nonblocking(true).and_then(|()| line.peek(&mut [0]));
    let back = line.set_nonblocking(false);
    back.is_ok() && matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Waiting for somebody, with an end.
struct Wait<'w> {
    until: Instant,
    begun: bool,
    reminded: Instant,
    tell: &'w dyn Fn(&str),
    interrupted: &'w dyn Fn() -> bool,
}

impl<'w> Wait<'w> {
    fn new(patience: Duration, tell: &'w dyn Fn(&str), interrupted: &'w dyn Fn() -> bool) -> Self {
        Wait { until: Instant::now() + patience, begun: false, reminded: Instant::now(), tell, interrupted }
    }

    /// Rests a little, but the first time. `false` when it has been long enough.
    fn goes_on(&mut self, who: &str) -> Result<bool, ClusterError> {
        if (self.interrupted)() {
            return Err(ClusterError::Interrupted);
        }
        if std::mem::replace(&mut self.begun, true) {
            std::thread::sleep(AGAIN);
        }
        if self.reminded.elapsed() > REMIND {
            self.reminded = Instant::now();
            (self.tell)(&format!("waiting for {who}"));
        }
        Ok(Instant::now() < self.until)
    }
}

#[cfg(test)]
mod tests;
