//! The layout of `data.mdb`: a record that says what it is, and one LMDB database per table, named by the table's number.

use heed::types::Bytes;
use heed::{CommitOrAbort, CommitToken, Database, Env, OnCommit, WithoutTls};

use super::failure::Place;
use crate::store::{StoreError, Table};

/// Which tables there are and under which names. Raised when that changes.
const FORMAT: u32 = 2;
const FORMAT_TABLE: &str = "kinetograph";
const FORMAT_KEY: &[u8] = b"format";

/// LMDB databases in a file: the tables and the format record's.
pub(super) const DATABASES: u32 = Table::ALL.len() as u32 + 1;

/// One database per table, at the table's number.
pub(super) type Tables = Vec<Database<'static, Bytes, Bytes>>;

/// The tables while the transaction that opens them goes on.
struct Fresh<'t>(Vec<Database<'t, Bytes, Bytes>>);

impl OnCommit for Fresh<'_> {
    type Committed = Tables;

    fn on_commit(self, token: &CommitToken) -> Tables {
        self.0.into_iter().map(|table| table.on_commit(token)).collect()
    }
}

/// Why the tables could not be opened.
enum Refused {
    Engine(heed::Error),
    Store(StoreError),
}

impl From<heed::Error> for Refused {
    fn from(error: heed::Error) -> Self {
        Refused::Engine(error)
    }
}

impl Refused {
    fn at(self, place: &Place) -> StoreError {
        match self {
            Refused::Engine(error) => place.failure(error),
            Refused::Store(error) => error,
        }
    }
}

/// Opens the tables of a state that exists.
///
/// # Errors
/// `Missing` when its first commit has not come yet, `Format` when it is not ours.
pub(super) fn open(env: &Env<WithoutTls>, place: &Place) -> Result<Tables, StoreError> {
    let tables = present(env, place)?;
    match tables.len() == Table::ALL.len() {
        true => Ok(tables),
        false => Err(place.format(
            "it was made by an earlier version, which had fewer tables; `kinetograph migrate` adds the others, and so does the next run",
        )),
    }
}

/// Opens the tables that are there. Later versions of this program add some behind the others.
///
/// # Errors
/// As of [`open`].
pub(super) fn present(env: &Env<WithoutTls>, place: &Place) -> Result<Tables, StoreError> {
    let failure = |error| place.failure(error);
    let txn = env.read_txn().map_err(failure)?;
    if env.unnamed_database_stat().entries == 0 {
        return Err(StoreError::Missing { place: place.to_string() });
    }
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let format = match opener.open_database::<Bytes, Bytes>(txn, Some(FORMAT_TABLE))? {
            Some(records) => records.get(txn, FORMAT_KEY)?,
            None => None,
        };
        check_format(format, place).map_err(Refused::Store)?;
        let tables = names().map(|name| opener.open_database(txn, Some(&name)).transpose());
        let tables: Result<Vec<_>, heed::Error> = tables.map_while(|table| table).collect();
        Ok::<_, Refused>(CommitOrAbort::<_, ()>::Commit(Fresh(tables?)))
    });
    committed(opened, place)
}

/// Opens the tables and creates those that are missing: all where the file is new, else those that later versions of this
/// program have.
///
/// # Errors
/// `Format` when the file is not ours.
pub(super) fn create(env: &Env<WithoutTls>, place: &Place) -> Result<Tables, StoreError> {
    let new = env.unnamed_database_stat().entries == 0;
    let txn = env.write_txn().map_err(|error| place.failure(error))?;
    let created = env.create_databases_and_commit(txn, |opener, txn| {
        // What is refused here is not committed, so a file of another program stays as it is.
        let records = opener.create_database::<Bytes, Bytes>(txn, Some(FORMAT_TABLE))?;
        match new {
            true => records.put(txn, FORMAT_KEY, &FORMAT.to_le_bytes())?,
            false => check_format(records.get(txn, FORMAT_KEY)?, place).map_err(Refused::Store)?,
        }
        let tables: heed::Result<Vec<_>> =
            names().map(|name| opener.create_database(txn, Some(&name))).collect();
        Ok::<_, Refused>(CommitOrAbort::<_, ()>::Commit(Fresh(tables?)))
    });
    committed(created, place)
}

fn committed(
    outcome: Result<CommitOrAbort<Tables, ()>, Refused>,
    place: &Place,
) -> Result<Tables, StoreError> {
    match outcome {
        Ok(CommitOrAbort::Commit(tables)) => Ok(tables),
        Ok(CommitOrAbort::Abort(())) => Err(place.engine("the tables could not be opened")),
        Err(refused) => Err(refused.at(place)),
    }
}

/// The name of each table's database: its number.
fn names() -> impl Iterator<Item = String> {
    Table::ALL.iter().map(|&table| format!("{:02}", table as u8))
}

/// Accepts this format; says of any other what is wrong.
fn check_format(found: Option<&[u8]>, place: &Place) -> Result<(), StoreError> {
    match found.map(<[u8; 4]>::try_from) {
        Some(Ok(bytes)) if u32::from_le_bytes(bytes) == FORMAT => Ok(()),
        Some(Ok(bytes)) => {
            let found = u32::from_le_bytes(bytes);
            Err(place.format(format!("it has format {found}, this version reads format {FORMAT}")))
        }
        Some(Err(_)) => Err(place.format("its format record is damaged")),
        None => Err(place.format("it is an LMDB file of another program")),
    }
}
