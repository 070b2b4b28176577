//! The choice of how a run keeps rows for the product of neighbours: as the settings have it, or as a short measurement finds best here.

use kinetograph_dataflows::index::kernels::Kernel;
use kinetograph_dataflows::index::quantize::Storage;

use crate::state::record::KeptRows;
use crate::state::{State, encode, key};
use crate::store::{Batch, Table};

/// Returns how rows of vectors of `d` values are kept from now on. Measured once for a state, and again where the processor has other
/// instructions; noted in the state.
pub(super) fn choose(state: &State, asked: Storage, d: usize) -> anyhow::Result<Storage> {
    let kernel = Kernel::best();
    let known: Option<KeptRows> = state.view()?.meta(key::KEPT_ROWS)?;
    let measured = asked == Storage::Measured;
    let again = known.as_ref().filter(|known| {
        measured && known.measured && known.kernel == kernel.name() && known.values == d as u64
    });
    let storage = match again {
        Some(known) => known.storage,
        None if measured => Storage::measure(d, kernel),
        None => asked,
    };
    let kept = KeptRows { storage, measured, kernel: kernel.name().to_owned(), values: d as u64 };
    if known.as_ref() != Some(&kept) {
        let mut batch = Batch::default();
        batch.put(Table::Meta, key::KEPT_ROWS, encode(&kept));
        state.commit(&batch)?;
    }
    Ok(storage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn kept(state: &State) -> KeptRows {
        state.view().unwrap().meta(key::KEPT_ROWS).unwrap().unwrap()
    }

    #[test]
    fn a_measurement_is_kept_until_the_processor_is_another() {
        let state = State::over(std::sync::Arc::new(MemoryStore::default()), "memory".as_ref()).unwrap();
        let chosen = choose(&state, Storage::Measured, 64).unwrap();
        assert!(Storage::FIXED.contains(&chosen));
        assert_eq!((kept(&state).storage, kept(&state).measured), (chosen, true));
        // What is known is taken: one that no measurement would find is.
        let note = |kernel: &str, storage| {
            let known = KeptRows { kernel: kernel.to_owned(), storage, ..kept(&state) };
            let mut batch = Batch::default();
            batch.put(Table::Meta, key::KEPT_ROWS, encode(&known));
            state.commit(&batch).unwrap();
        };
        note(Kernel::best().name(), Storage::Measured);
        assert_eq!(choose(&state, Storage::Measured, 64).unwrap(), Storage::Measured);
        // Of another processor, it is not.
        note("another", Storage::Measured);
        assert!(Storage::FIXED.contains(&choose(&state, Storage::Measured, 64).unwrap()));
        assert_eq!(kept(&state).kernel, Kernel::best().name());
        assert_eq!(choose(&state, Storage::F32, 64).unwrap(), Storage::F32);
        assert_eq!((kept(&state).storage, kept(&state).measured), (Storage::F32, false));
        // A fixed one is no measurement.
        note(Kernel::best().name(), Storage::F32);
        assert!(choose(&state, Storage::Measured, 64).is_ok() && kept(&state).measured);
    }
}
