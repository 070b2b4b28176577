//! Checks that the data file is as long as its last page says.
//!
//! Reading a map beyond the end of its file kills the process (SIGBUS), so a file that was cut short, say by an
//! unfinished copy, must be found before it is read. A shorter file is not always damage: LMDB does not write
//! pages that a transaction took and gave back, and they may be the last ones. So each commit extends
//! the file over such pages, and if a kill came between the two, opening looks at where everything lies.

use heed::{Env, RoTxn, WithoutTls};

use super::tables::Tables;

/// Bytes up to the end of the last page that any transaction took.
pub(super) fn promised_bytes(env: &Env<WithoutTls>) -> u64 {
    (env.info().last_page_number as u64 + 1) * u64::from(env.unnamed_database_stat().page_size)
}

/// Makes the file as long as its last page says. Takes no disk space.
pub(super) fn extend_to_last_page(env: &Env<WithoutTls>) -> heed::Result<()> {
    let promised = promised_bytes(env);
    if env.real_disk_size()? < promised {
        env.try_clone_inner_file()?.set_len(promised)?;
    }
    Ok(())
}

/// The first offset past `end` at which something is kept, if any. The file must have been extended.
///
/// # Errors
/// `Corrupted` when a page of an index was lost.
pub(super) fn anything_past(
    end: u64,
    env: &Env<WithoutTls>,
    txn: &RoTxn<'_, WithoutTls>,
    tables: &Tables,
) -> heed::Result<Option<u64>> {
    let page_bytes = env.unnamed_database_stat().page_size as usize;
    let mut map = None;
    for table in tables {
        for entry in table.iter(txn)? {
            let (key, value) = entry?;
            let map = *map.get_or_insert_with(|| map_start(key, page_bytes));
            let end_of = |bytes: &[u8]| (bytes.as_ptr().addr() + bytes.len()).wrapping_sub(map) as u64;
            let last = end_of(key).max(end_of(value));
            if last > end {
                return Ok(Some(last));
            }
        }
    }
    Ok(None)
}

/// The address of the file's first byte, from a key in one of its pages (keys never lie outside their page).
fn map_start(key: &[u8], page_bytes: usize) -> usize {
    let page = key.as_ptr().addr() & !(page_bytes - 1);
    let number: *const usize = std::ptr::with_exposed_provenance(page);
    // SAFETY: `key` points into a page that LMDB maps readable and aligned to the page size, a power of two. Each
    // page begins with its own number as a `pgno_t`, which is a `size_t`.
    let number = unsafe { number.read() };
    page.wrapping_sub(number.wrapping_mul(page_bytes))
}
