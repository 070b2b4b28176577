use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::{RemoteStore, SCANNED_BYTES, Server};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Snapshot, Store, Table};

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn records(snapshot: &dyn Snapshot, table: Table, from: &[u8], most: usize) -> Records {
    let mut records = Records::new();
    snapshot
        .scan(table, from, &mut |key, value| {
            records.push((key.to_vec(), value.to_vec()));
            records.len() < most
        })
        .unwrap();
    records
}

fn put(store: &dyn Store, table: Table, key: &[u8], value: Vec<u8>) {
    let mut batch = Batch::default();
    batch.put(table, key, value);
    store.commit(&batch).unwrap();
}

fn served() -> (Arc<MemoryStore>, Server, RemoteStore) {
    let store = Arc::new(MemoryStore::default());
    let server = Server::start(TcpListener::bind("127.0.0.1:0").unwrap(), store.clone()).unwrap();
    let remote = RemoteStore::new(&server.address().to_string(), "process 1");
    (store, server, remote)
}

#[test]
fn a_remote_store_reads_as_the_store_itself() {
    let (store, _server, remote) = served();
    let mut rng = Pcg64::seed_from_u64(1);
    for _ in 0..300 {
        let key: Vec<u8> = (0..rng.random_range(1..4)).map(|_| rng.random_range(0..9)).collect();
        put(&*store, Table::Crops, &key, vec![rng.random(); rng.random_range(0..SCANNED_BYTES / 20)]);
    }
    put(&*store, Table::Meta, b"a", vec![1]);
    let (near, far) = (store.snapshot().unwrap(), remote.snapshot().unwrap());
    let all = records(&*near, Table::Crops, &[], usize::MAX);
    assert!(all.iter().map(|(_, v)| v.len()).sum::<usize>() > 3 * SCANNED_BYTES, "one answer holds all");
    assert_eq!(records(&*far, Table::Crops, &[], usize::MAX), all);
    for at in (0..all.len()).step_by(17) {
        let (key, value) = &all[at];
        assert_eq!(far.get(Table::Crops, key).unwrap().as_ref(), Some(value));
        assert_eq!(records(&*far, Table::Crops, key, 5), all[at..all.len().min(at + 5)]);
    }
    assert_eq!(far.get(Table::Crops, &[200]).unwrap(), None);
    assert_eq!(records(&*far, Table::Nodes, &[], 9), Records::new());
    assert!(remote.commit(&Batch::default()).is_err(), "it is only read");
}

#[test]
fn a_remote_snapshot_does_not_move_and_the_next_is_new() {
    let (store, _server, remote) = served();
    put(&*store, Table::Meta, b"a", vec![1]);
    let first = remote.snapshot().unwrap();
    put(&*store, Table::Meta, b"a", vec![2]);
    let second = remote.snapshot().unwrap();
    let read = |snapshot: &dyn Snapshot| snapshot.get(Table::Meta, b"a").unwrap();
    assert_eq!((read(&*first), read(&*second)), (Some(vec![1]), Some(vec![2])));
    drop((first, second));
    assert_eq!(remote.idle.lock().unwrap().len(), 2, "connections are used again");
    assert_eq!(read(&*remote.snapshot().unwrap()), Some(vec![2]));
}

#[test]
fn what_cannot_be_read_says_where() {
    let (store, server, remote) = served();
    put(&*store, Table::Meta, b"a", vec![1]);
    let address = server.address().to_string();
    let snapshot = remote.snapshot().unwrap();
    // Somebody else on the port does no harm.
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"kinetograph st 1\xff\xff\xff\xff",
        b"kinetograph st 1\x04\0\0\0abcd",
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(noise).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(snapshot.get(Table::Meta, b"a").unwrap(), Some(vec![1]));
    drop(server);
    let said = snapshot.get(Table::Meta, b"a").unwrap_err().to_string();
    assert!(said.starts_with("process 1") && said.contains(&address) && said.contains("hung up"), "{said}");
    drop(snapshot);
    let said = remote.snapshot().err().unwrap().to_string();
    assert!(said.starts_with("process 1") && said.contains(&address), "{said}");
    let given_up = || Arc::strong_count(&store) == 1;
    let soon = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !given_up() && std::time::Instant::now() < soon {
        std::thread::yield_now();
    }
    assert!(given_up(), "an ended server keeps the store");
}
