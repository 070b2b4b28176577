//! The candidate SQLite: write-ahead log, full synchronisation, through rusqlite with its own copy of SQLite.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kinetograph::store::{Batch, Snapshot, Store, StoreError, Table, Visit};
use rusqlite::{Connection, OptionalExtension};

pub(crate) struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// Connections that no snapshot uses.
    readers: Mutex<Vec<Connection>>,
}

fn failure(error: impl std::fmt::Display) -> StoreError {
    StoreError::Engine { place: "sqlite".into(), reason: error.to_string() }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA cache_size = -65536; PRAGMA mmap_size = 4294967296;",
    )?;
    connection.set_prepared_statement_cache_capacity(4 * Table::ALL.len());
    Ok(connection)
}

fn create(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    for table in Table::ALL {
        // Large values would crowd the inner pages of a table without row ids.
        let layout = match table {
            Table::Crops | Table::Vectors | Table::Stills => "",
            _ => "WITHOUT ROWID",
        };
        let name = table as u8;
        connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS t{name} (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) {layout}"
        ))?;
    }
    Ok(connection)
}

impl SqliteStore {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(failure)?;
        let path = dir.join("state.sqlite");
        let writer = Mutex::new(create(&path).map_err(failure)?);
        Ok(SqliteStore { path, writer, readers: Mutex::default() })
    }

    fn write(&self, batch: &Batch) -> rusqlite::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = writer.transaction()?;
        for (table, key, value) in batch.changes() {
            let name = *table as u8;
            match value {
                Some(value) => {
                    let put = format!(
                        "INSERT INTO t{name} VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2"
                    );
                    transaction.prepare_cached(&put)?.execute((key, value))?;
                }
                None => {
                    let delete = format!("DELETE FROM t{name} WHERE key = ?1");
                    transaction.prepare_cached(&delete)?.execute((key,))?;
                }
            }
        }
        transaction.commit()
    }

    fn begin(&self) -> rusqlite::Result<SqliteSnapshot<'_>> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        // The view is taken by the first read, not by BEGIN.
        connection.execute_batch("BEGIN")?;
        connection.query_row("SELECT count(*) FROM t0", (), |_| Ok(()))?;
        Ok(SqliteSnapshot { connection: Some(connection), store: self })
    }
}

impl Store for SqliteStore {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write(batch).map_err(failure)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        Ok(Box::new(self.begin().map_err(failure)?))
    }
}

struct SqliteSnapshot<'s> {
    /// Given back to the store at the end.
    connection: Option<Connection>,
    store: &'s SqliteStore,
}

impl SqliteSnapshot<'_> {
    fn connection(&self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().ok_or_else(|| failure("the snapshot has ended"))
    }
}

impl Drop for SqliteSnapshot<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && connection.execute_batch("COMMIT").is_ok()
        {
            self.store.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Snapshot for SqliteSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let query = format!("SELECT value FROM t{} WHERE key = ?1", table as u8);
        let mut statement = self.connection()?.prepare_cached(&query).map_err(failure)?;
        statement.query_row((key,), |row| row.get(0)).optional().map_err(failure)
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let query = format!("SELECT key, value FROM t{} WHERE key >= ?1 ORDER BY key", table as u8);
        let mut statement = self.connection()?.prepare_cached(&query).map_err(failure)?;
        let mut rows = statement.query((from,)).map_err(failure)?;
        while let Some(row) = rows.next().map_err(failure)? {
            let blob = |at| row.get_ref(at).map_err(failure)?.as_blob().map_err(failure);
            if !visit(blob(0)?, blob(1)?) {
                break;
            }
        }
        Ok(())
    }
}
