//! The door by which the other processes come in, one that speaks and strangers that say nothing at the same time.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

/// The time that somebody who came may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// So many may be about to say it; more wait outside.
const MOST: usize = 256;
/// The longest introduction, bytes: settings by name are some thousands.
const LONGEST: usize = 1 << 20;
/// The first message of everybody.
pub(super) type Greeting = [u8; 16];

/// Somebody who came, and the beginning of what they say.
struct Guest {
    line: TcpStream,
    since: Instant,
    said: Vec<u8>,
}

/// A listener that never waits.
pub(super) struct Door {
    listener: TcpListener,
    guests: Vec<Guest>,
}

impl Door {
    /// Opens one at `address`.
    ///
    /// # Errors
    /// When the system does not let this process listen there.
    pub(super) fn open(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Door { listener, guests: Vec::new() })
    }

    /// Somebody who has given `greeting` and then a message (see [`crate::message`]), if anybody has by now. Who says something else,
    /// or nothing for long, is sent away.
    pub(super) fn admitted<T: DeserializeOwned>(&mut self, greeting: &Greeting) -> Option<(TcpStream, T)> {
        while self.guests.len() < MOST
            && let Ok((line, _)) = self.listener.accept()
        {
            if line.set_nonblocking(true).and_then(|()| line.set_nodelay(true)).is_ok() {
                self.guests.push(Guest { line, since: Instant::now(), said: Vec::new() });
            }
        }
        let mut at = 0;
        while at < self.guests.len() {
            match self.guests[at].listen(greeting) {
                Ok(None) if self.guests[at].since.elapsed() < INTRODUCTION => at += 1,
                Ok(Some(message)) => {
                    let line = self.guests.remove(at).line;
                    if line.set_nonblocking(false).is_ok() {
                        return Some((line, message));
                    }
                }
                _ => drop(self.guests.remove(at)),
            }
        }
        None
    }
}

impl Guest {
    /// The message, once all of it is there. No byte after it is taken.
    fn listen<T: DeserializeOwned>(&mut self, greeting: &Greeting) -> io::Result<Option<T>> {
        let stranger = || io::Error::from(io::ErrorKind::InvalidData);
        loop {
            let wanted = match self.said.get(greeting.len()..greeting.len() + 4) {
                None => greeting.len() + 4,
                Some(length) => {
                    let length = length.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                    greeting.len() + 4 + length
                }
            };
            if !self.said.starts_with(&greeting[..greeting.len().min(self.said.len())]) || wanted > LONGEST {
                return Err(stranger());
            }
            if self.said.len() == wanted && wanted > greeting.len() + 4 {
                return crate::message::receive(&mut &self.said[greeting.len()..]).map(Some);
            }
            let mut more = [0; 4096];
            let room = more.len().min(wanted - self.said.len());
            match self.line.read(&mut more[..room]) {
                Ok(0) => return Err(stranger()),
                Ok(count) => self.said.extend_from_slice(&more[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const GREETING: &Greeting = b"0123456789abcdef";

    fn admitted(door: &mut Door) -> Option<(TcpStream, String)> {
        let soon = Instant::now() + Duration::from_secs(1);
        loop {
            let admitted = door.admitted(GREETING);
            if admitted.is_some() || Instant::now() > soon {
                return admitted;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn who_speaks_does_not_wait_for_those_who_do_not() {
        let mut door = Door::open("127.0.0.1:0").unwrap();
        let address = door.listener.local_addr().unwrap();
        let comes = |said: &[u8]| {
            let mut line = TcpStream::connect(address).unwrap();
            line.write_all(said).unwrap();
            line
        };
        let mut whole = GREETING.to_vec();
        crate::message::send(&mut whole, &"it is I".to_string()).unwrap();
        let silent: Vec<_> = (0..8).map(|_| comes(b"")).collect();
        let begun: Vec<_> = [&whole[..7], &whole[..18], &whole[..whole.len() - 1]].map(comes).into();
        let strange = [&b"GET / HTTP/1.1\r\n\r\n"[..], &[GREETING, &[255; 4][..]].concat()].map(comes);
        let mut speaks = comes(&[&whole[..], b"and more"].concat());
        let (mut line, said) = admitted(&mut door).expect("who speaks is heard");
        assert_eq!(said, "it is I");
        let mut more = [0; 8];
        line.read_exact(&mut more).unwrap();
        assert_eq!(&more, b"and more");
        line.write_all(b"hello").unwrap();
        speaks.read_exact(&mut more[..5]).unwrap();
        // Strangers are sent away, the others may still say it.
        for mut line in strange {
            assert!(matches!(line.read(&mut more), Ok(0) | Err(_)));
        }
        assert_eq!(door.guests.len(), silent.len() + begun.len());
        let mut begun = begun;
        begun[1].write_all(&whole[18..]).unwrap();
        assert_eq!(admitted(&mut door).unwrap().1, "it is I");
    }
}
