//! The side that reads.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Answer, GREETING, Request, receive, send};
use crate::store::{Batch, Snapshot, Store, StoreError, Table, Visit};

/// The longest time an answer may take. A commit in progress there holds nobody up, but a disk may.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that a [`Server`](super::Server) elsewhere lets us read.
pub struct RemoteStore {
    address: String,
    place: String,
    /// Connections without a snapshot.
    pub(super) idle: Mutex<Vec<TcpStream>>,
}

impl RemoteStore {
    /// The store served at `address` (host:port), known as `place` in messages. Connects when it is first read.
    pub fn new(address: &str, place: &str) -> Self {
        RemoteStore { address: address.into(), place: place.into(), idle: Mutex::default() }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
        for address in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return greet(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn failure(&self, error: &io::Error) -> StoreError {
        let reason = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("{} has not answered for {} s", self.address, PATIENCE.as_secs())
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                format!("{} has hung up", self.address)
            }
            _ => format!("{}: {error}", self.address),
        };
        StoreError::Engine { place: self.place.clone(), reason }
    }

    fn begin(&self, mut stream: TcpStream) -> io::Result<TcpStream> {
        match ask(&mut stream, &Request::Snapshot)? {
            Answer::Done => Ok(stream),
            answer => Err(unexpected(answer)),
        }
    }
}

fn greet(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(GREETING)?;
    match receive(&mut stream)? {
        Answer::Done => Ok(stream),
        answer => Err(unexpected(answer)),
    }
}

fn ask(stream: &mut TcpStream, request: &Request) -> io::Result<Answer> {
    send(stream, request)?;
    receive(stream)
}

fn unexpected(answer: Answer) -> io::Error {
    match answer {
        Answer::Failed(reason) => io::Error::other(reason),
        _ => io::Error::new(io::ErrorKind::InvalidData, "not what was asked for"),
    }
}

impl Store for RemoteStore {
    fn commit(&self, _: &Batch) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly { place: self.place.clone() })
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // A connection that lay idle may have been cut: then a new one is made.
        let kept = idle.and_then(|stream| self.begin(stream).ok());
        let stream = match kept {
            Some(stream) => Ok(stream),
            None => self.connect().and_then(|stream| self.begin(stream)),
        };
        let stream = stream.map_err(|error| self.failure(&error))?;
        Ok(Box::new(RemoteSnapshot { store: self, stream: Mutex::new(Some(stream)) }))
    }
}

/// A snapshot that a server holds for us. Its connection is given up at the first failure, after which nothing can be read.
struct RemoteSnapshot<'s> {
    store: &'s RemoteStore,
    stream: Mutex<Option<TcpStream>>,
}

impl RemoteSnapshot<'_> {
    fn ask(&self, request: &Request) -> Result<Answer, StoreError> {
        let mut held = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream =
            held.take().ok_or_else(|| self.store.failure(&io::ErrorKind::ConnectionReset.into()))?;
        let answer = ask(&mut stream, request).map_err(|error| self.store.failure(&error))?;
        *held = Some(stream);
        match answer {
            Answer::Failed(reason) => Err(StoreError::Engine { place: self.store.place.clone(), reason }),
            answer => Ok(answer),
        }
    }
}

impl Snapshot for RemoteSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.ask(&Request::Get(table as u8, key.to_vec()))? {
            Answer::Value(value) => Ok(value),
            answer => Err(self.store.failure(&unexpected(answer))),
        }
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut from = from.to_vec();
        loop {
            let (records, more) = match self.ask(&Request::Scan(table as u8, from))? {
                Answer::Records(records, more) => (records, more),
                answer => return Err(self.store.failure(&unexpected(answer))),
            };
            if !records.iter().all(|(key, value)| visit(key, value)) || !more {
                return Ok(());
            }
            // Of all keys after the last one, the first.
            from = records.last().map(|(key, _)| [key, &[0][..]].concat()).unwrap_or_default();
        }
    }
}

impl Drop for RemoteSnapshot<'_> {
    fn drop(&mut self) {
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut stream) = stream
            && matches!(ask(&mut stream, &Request::End), Ok(Answer::Done))
        {
            self.store.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
    }
}
