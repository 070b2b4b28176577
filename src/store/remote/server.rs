//! The side that has the store.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Answer, GREETING, Request, SCANNED_BYTES, receive, send, table};
use crate::store::{Snapshot, Store};

/// Lets others read a store until it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    /// By a number of its own.
    connections: Mutex<HashMap<u64, TcpStream>>,
    admitted: AtomicU64,
}

impl Server {
    /// Serves `store` to whoever connects to `listener`.
    ///
    /// # Errors
    /// When the listener has no address or no thread can be started.
    pub fn start(listener: TcpListener, store: Arc<dyn Store>) -> io::Result<Self> {
        let (address, shared) = (listener.local_addr()?, Arc::new(Shared::default()));
        let with = shared.clone();
        let accepting = thread::Builder::new().name("store server".into()).spawn(move || {
            for stream in listener.incoming() {
                if with.ended.load(Ordering::Acquire) {
                    break;
                }
                // Who could not be let in tries again.
                if let Ok(stream) = stream {
                    let _ = with.admit(stream, &store);
                }
            }
        })?;
        Ok(Server { address, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Shared {
    fn admit(self: &Arc<Self>, stream: TcpStream, store: &Arc<dyn Store>) -> io::Result<()> {
        let (shared, store) = (self.clone(), store.clone());
        let number = self.admitted.fetch_add(1, Ordering::Relaxed);
        self.connections().insert(number, stream.try_clone()?);
        let spawned = thread::Builder::new().name("store reader".into()).spawn(move || {
            // How a connection ends is the client's affair.
            let _ = serve(stream, &*store);
            shared.hang_up(number);
        });
        if spawned.is_err() {
            self.hang_up(number);
        }
        spawned.map(drop)
    }

    fn hang_up(&self, number: u64) {
        if let Some(stream) = self.connections().remove(&number) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for (_, stream) in self.shared.connections().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, store: &dyn Store) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting)?;
    if greeting != *GREETING {
        return send(&mut stream, &Answer::Failed("another version of kinetograph".into()));
    }
    send(&mut stream, &Answer::Done)?;
    let mut snapshot: Option<Box<dyn Snapshot + '_>> = None;
    loop {
        let answer = match receive(&mut stream)? {
            Request::Snapshot => {
                // One at a time: the former must not keep the store from using its space again.
                drop(snapshot.take());
                match store.snapshot() {
                    Ok(taken) => {
                        snapshot = Some(taken);
                        Answer::Done
                    }
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
            Request::End => {
                snapshot = None;
                Answer::Done
            }
            Request::Get(number, key) => read(snapshot.as_deref(), |snapshot| {
                let table = table(number).ok_or_else(unknown)?;
                snapshot.get(table, &key).map(Answer::Value).map_err(|error| error.to_string())
            }),
            Request::Scan(number, from) => {
                read(snapshot.as_deref(), |snapshot| scan(snapshot, number, &from))
            }
        };
        send(&mut stream, &answer)?;
    }
}

fn read<'s>(
    snapshot: Option<&(dyn Snapshot + 's)>,
    read: impl FnOnce(&(dyn Snapshot + 's)) -> Result<Answer, String>,
) -> Answer {
    match snapshot {
        Some(snapshot) => read(snapshot).unwrap_or_else(Answer::Failed),
        None => Answer::Failed("no snapshot was asked for".into()),
    }
}

fn unknown() -> String {
    "a table of another version of kinetograph".into()
}

fn scan(snapshot: &dyn Snapshot, number: u8, from: &[u8]) -> Result<Answer, String> {
    let (mut records, mut bytes, mut more) = (Vec::new(), 0, false);
    let scanned = snapshot.scan(table(number).ok_or_else(unknown)?, from, &mut |key, value| {
        more = bytes > SCANNED_BYTES;
        if !more {
            bytes += key.len() + value.len();
            records.push((key.to_vec(), value.to_vec()));
        }
        !more
    });
    scanned.map_err(|error| error.to_string())?;
    Ok(Answer::Records(records, more))
}
