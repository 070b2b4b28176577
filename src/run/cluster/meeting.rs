//! How processes find one another and agree on where to start. Nothing runs before all are there and alike.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{ClusterError, Options};
use crate::message::{receive, send};
use crate::run::member::Member;
use crate::state::StateError;

/// What a process says first to process 0.
const TO_AGREE: &[u8; 16] = b"kinetograph ag 1";
/// What a process says first to another that it exchanges data with.
const FOR_DATA: &[u8; 16] = b"kinetograph da 1";
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a stranger may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// How much longer than process 0 the others wait, so that it can say who did not come.
const LONGER: Duration = Duration::from_secs(10);
/// How often it is said who is waited for.
const REMIND: Duration = Duration::from_secs(5);

/// What must be the same in all processes, and where each stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::run) struct Terms {
    /// By name: versions, settings, workers.
    pub(in crate::run) alike: BTreeMap<String, String>,
    /// The last epoch that its store has.
    pub(in crate::run) epoch: u64,
    /// Whether its store never ran.
    pub(in crate::run) new: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum Say {
    /// Who it is and where it stands.
    Hello(u32, Terms),
    /// Everybody starts from this epoch.
    Start(u64),
    /// It stands there, knows these sources (a digest), and lets its store be read at this port.
    Ready(String, u16),
    /// All are ready.
    Go,
    /// It cannot be.
    Refused(String),
}

/// A process among others that are about to start.
pub(in crate::run) struct Meeting<'m> {
    options: &'m Options,
    member: Member,
    listener: TcpListener,
    /// Of process 0, to each of the others; of another, to process 0. By process.
    lines: BTreeMap<usize, TcpStream>,
    /// Where everybody starts.
    pub(in crate::run) start: u64,
}

/// What the processes have when all are ready.
#[derive(Default)]
pub(in crate::run) struct Met {
    /// To agree on epochs: of process 0, with each of the others; of another, with process 0.
    pub(in crate::run) lines: BTreeMap<usize, TcpStream>,
    /// For the dataflow, with each of the others.
    pub(in crate::run) mesh: BTreeMap<usize, TcpStream>,
    /// Of process 0: where the stores of the others can be read.
    pub(in crate::run) stores: BTreeMap<usize, SocketAddr>,
}

impl<'m> Meeting<'m> {
    /// Waits for the other processes, and compares `terms`.
    ///
    /// # Errors
    /// [`ClusterError`] when one does not come or is different.
    pub(in crate::run) fn begin(
        options: &'m Options,
        member: Member,
        terms: &Terms,
        tell: &dyn Fn(&str),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Self, ClusterError> {
        let address = &options.hosts[member.process];
        let listen =
            |error| ClusterError::Listen { process: member.process, address: address.clone(), error };
        let listener = TcpListener::bind(address.as_str()).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let mut meeting = Meeting { options, member, listener, lines: BTreeMap::new(), start: terms.epoch };
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
            let Some((mut line, said)) = self.admitted(TO_AGREE) else { continue };
            match said {
                Ok(Say::Hello(process, theirs)) if (1..self.member.of).contains(&(process as usize)) => {
                    let process = process as usize;
                    if self.lines.get(&process).is_some_and(here) {
                        let reason = format!("process {process} is here already");
                        let _ = send(&mut line, &Say::Refused(reason));
                        continue;
                    }
                    hellos.insert(process, theirs);
                    self.lines.insert(process, line);
                }
                Ok(Say::Hello(process, _)) => {
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
    pub(in crate::run) fn ready(
        mut self,
        sources: &str,
        store: Option<SocketAddr>,
        keep: &dyn Fn() -> Result<(), StateError>,
        tell: &dyn Fn(&str),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Met, ClusterError> {
        let mut stores = BTreeMap::new();
        let mut wait = Wait::new(self.options.patience, tell, interrupted);
        if self.member.process == 0 {
            for process in 1..self.member.of {
                let Some(mut line) = self.lines.remove(&process) else { continue };
                let said = self.hear(process, &mut line, &mut wait)?;
                let peer = line.peer_addr().map_err(self.gone(process))?;
                self.lines.insert(process, line);
                match said {
                    Say::Ready(theirs, port) if theirs == sources => {
                        stores.insert(process, SocketAddr::new(peer.ip(), port));
                    }
                    Say::Ready(theirs, _) => {
                        let error = ClusterError::Differs {
                            process,
                            address: self.address(process),
                            what: "the list of sources".to_string(),
                            theirs,
                            ours: sources.to_string(),
                        };
                        self.refuse_all(&error);
                        return Err(error);
                    }
                    Say::Refused(reason) => {
                        let address = self.address(process);
                        let error = ClusterError::Gone { process, address, error: io::Error::other(reason) };
                        self.refuse_all(&error);
                        return Err(error);
                    }
                    _ => return Err(self.gone(process)(io::ErrorKind::InvalidData.into())),
                }
            }
            if let Err(error) = keep() {
                self.give_up(&error.to_string());
                return Err(error.into());
            }
            self.say_to_all(&Say::Go)?;
        } else {
            self.say_to_all(&Say::Ready(sources.to_string(), store.map_or(0, |store| store.port())))?;
            let Some(mut line) = self.lines.remove(&0) else { return Err(self.missing(0, "")) };
            // Process 0 waits for the others meanwhile.
            wait.until += LONGER;
            let said = self.hear(0, &mut line, &mut wait)?;
            self.lines.insert(0, line);
            match said {
                Say::Go => keep()?,
                Say::Refused(reason) => {
                    return Err(ClusterError::Refused { address: self.address(0), reason });
                }
                _ => return Err(self.gone(0)(io::ErrorKind::InvalidData.into())),
            }
        }
        let mesh = self.connect_all(Wait::new(self.options.patience, tell, interrupted))?;
        Ok(Met { lines: self.lines, mesh, stores })
    }

    /// Why this process cannot start, for the others.
    pub(in crate::run) fn give_up(&mut self, reason: &str) {
        self.lines.values_mut().for_each(|line| drop(send(line, &Say::Refused(reason.to_string()))));
    }

    /// To those with a smaller number this one goes; those with a larger one come.
    fn connect_all(&self, mut wait: Wait<'_>) -> Result<BTreeMap<usize, TcpStream>, ClusterError> {
        let mut mesh = BTreeMap::new();
        for process in 0..self.member.process {
            let mut last = String::new();
            let mut line = loop {
                if !wait.goes_on(&format!("process {process} ({})", self.address(process)))? {
                    return Err(self.missing(process, &last));
                }
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
            if let Some((line, Ok(Say::Hello(process, _)))) = self.admitted(FOR_DATA)
                && (self.member.process + 1..self.member.of).contains(&(process as usize))
            {
                mesh.insert(process as usize, line);
            }
        }
        Ok(mesh)
    }

    /// Somebody who came and said who they are, if anybody did.
    fn admitted(&self, greeting: &[u8; 16]) -> Option<(TcpStream, io::Result<Say>)> {
        let (mut line, _) = self.listener.accept().ok()?;
        line.set_nonblocking(false).ok()?;
        line.set_read_timeout(Some(INTRODUCTION)).ok()?;
        line.set_nodelay(true).ok()?;
        let mut said = [0; 16];
        line.read_exact(&mut said).ok()?;
        if said != *greeting {
            return None;
        }
        let said = receive(&mut line);
        line.set_read_timeout(None).ok()?;
        Some((line, said))
    }

    /// What `process` says next; while nothing comes, `wait` says whether to go on.
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
        line.set_read_timeout(Some(INTRODUCTION)).map_err(&gone)?;
        let said = receive(line).map_err(&gone)?;
        line.set_read_timeout(None).map_err(&gone)?;
        Ok(said)
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

fn connect(address: &str, greeting: &[u8; 16]) -> io::Result<TcpStream> {
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

/// Whether somebody is still at the other end of `line`.
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
