//! Numbered batches that change every table, so that a store tells which of them it holds, and whether whole.

use kinetograph::store::{Batch, Snapshot, Store, Table};

/// Batches whose keys are still there.
const KEPT: u64 = 5;
const LAST: &[u8] = b"last";

fn value(number: u64, table: Table) -> Vec<u8> {
    // Some share a page with others, some have pages of their own.
    let bytes = [16, 2048, 80, 30_000, 4_000][table as usize % 5];
    let mut value = vec![(number as u8) ^ (table as u8); bytes];
    value.extend(number.to_le_bytes());
    value
}

/// Batch `number`, counted from 1: puts its keys, takes away those of an old one, and says that it was the last.
pub(crate) fn batch(number: u64) -> Batch {
    let mut batch = Batch::default();
    for table in Table::ALL {
        batch.put(table, number.to_be_bytes(), value(number, table));
        if number > KEPT {
            batch.delete(table, (number - KEPT).to_be_bytes());
        }
        batch.put(table, LAST, number.to_le_bytes());
    }
    batch
}

/// The number of the last batch that the snapshot holds, 0 for none; the complaint when it holds anything but
/// whole batches.
pub(crate) fn held(snapshot: &dyn Snapshot) -> Result<u64, String> {
    let last = snapshot.get(Table::Meta, LAST).map_err(|error| error.to_string())?;
    let number = last.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    for table in Table::ALL {
        let mut expected = Vec::new();
        if number > 0 {
            let first = (number + 1).saturating_sub(KEPT).max(1);
            expected.extend((first..=number).map(|n| (n.to_be_bytes().to_vec(), value(n, table))));
            expected.push((LAST.to_vec(), number.to_le_bytes().to_vec()));
        }
        let mut found = Vec::new();
        let scanned = snapshot.scan(table, &[], &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            true
        });
        scanned.map_err(|error| error.to_string())?;
        if found != expected {
            let keys: Vec<_> = found.iter().map(|(key, value)| (key, value.len())).collect();
            return Err(format!("batch {number}, table {table:?} holds {keys:?}"));
        }
    }
    Ok(number)
}

/// As [`held`], of the store's last commit.
pub(crate) fn held_by(store: &dyn Store) -> u64 {
    held(&*store.snapshot().unwrap()).unwrap()
}
