//! The register of derived collections: one row each, in the order in which they follow from each other.
//!
//! To add one: give it a [`Table`](crate::store::Table), write its row (a file in `collections/` with an `impl`
//! [`Collection`]), and name it in [`rows`]. Whatever handles collections one by one walks this list by
//! [`each_collection`]: what an epoch changes, how it is gathered and stored, its history, digest, export, recompute, and what is
//! forgotten or dealt out to shards.

mod cells;
mod classes;
mod clusters;
mod collection;
mod degrees;
pub mod delta;
mod followed;
mod groups;
mod inter;
mod lists;
mod pairs;

pub use cells::Cells;
pub use classes::Classes;
pub use clusters::Clusters;
pub use collection::{Collection, Context, Export, Followed, History, Labels, Rows, Shown};
pub use degrees::Degrees;
pub use groups::Groups;
pub use inter::Inter;
pub use lists::Lists;
pub use pairs::{Pairs, kind_name};

use std::collections::BTreeMap;

use kinetograph_dataflows::time::Diff;

/// Hands the rows of the register to the macro `$then`, each with the field of [`Each`] it has.
macro_rules! rows {
    ($then:ident! $($more:tt)*) => {
        $then! {
            [
                cells: Cells, groups: Groups, lists: Lists, clusters: Clusters, inter: Inter, degrees: Degrees, pairs: Pairs,
                classes: Classes
            ]
            $($more)*
        }
    };
}
pub(crate) use rows;

/// `each_collection!(C => { ... })` runs the block once for each collection, which is called `C` in it.
macro_rules! each_collection {
    ([$($field:ident: $row:ident),*] $c:ident $body:block) => {
        $({
            type $c = $crate::collections::$row;
            $body
        })*
    };
    ($c:ident => $body:block) => { $crate::collections::rows! { each_collection! $c $body } };
}
pub(crate) use each_collection;

/// A kind of thing that there is one of for each collection.
pub trait Kind {
    /// The one for `C`.
    type Of<C: Collection>;
}

/// Changes of a collection, each a record and how many of it come.
#[derive(Clone, Copy, Debug)]
pub struct Nets;

impl Kind for Nets {
    type Of<C: Collection> = Vec<(C::Record, Diff)>;
}

/// The records of a collection, by their keys.
#[derive(Clone, Copy, Debug)]
pub struct Maps;

impl Kind for Maps {
    type Of<C: Collection> = BTreeMap<C::Key, C::Value>;
}

/// A row of the register, with its place in an [`Each`].
pub trait Listed: Collection {
    /// The thing of this collection.
    fn of<K: Kind>(each: &Each<K>) -> &K::Of<Self>;

    /// The thing of this collection, to change.
    fn of_mut<K: Kind>(each: &mut Each<K>) -> &mut K::Of<Self>;
}

macro_rules! each_of_the_rows {
    ([$($field:ident: $row:ident),*]) => {
        /// One thing of the kind `K` for each collection.
        pub struct Each<K: Kind> {
            $(
                #[doc = concat!("That of [`", stringify!($row), "`].")]
                pub $field: K::Of<$row>,
            )*
        }

        impl<K: Kind> Default for Each<K>
        where
            $(K::Of<$row>: Default,)*
        {
            fn default() -> Self {
                Each { $($field: Default::default(),)* }
            }
        }

        impl<K: Kind> std::fmt::Debug for Each<K>
        where
            $(K::Of<$row>: std::fmt::Debug,)*
        {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Each")$(.field(stringify!($field), &self.$field))*.finish()
            }
        }

        $(
            impl Listed for $row {
                fn of<K: Kind>(each: &Each<K>) -> &K::Of<Self> {
                    &each.$field
                }

                fn of_mut<K: Kind>(each: &mut Each<K>) -> &mut K::Of<Self> {
                    &mut each.$field
                }
            }
        )*
    };
}
rows! { each_of_the_rows! }

/// `records` with their labels as [`Collection::labels`] has it: two collections are equal when these are.
pub fn canonical<C: Collection>(records: Vec<(C::Key, C::Value)>) -> Vec<(C::Key, C::Value)> {
    let Labels::Opaque { named } = C::labels() else { return records };
    let mut names: BTreeMap<C::Value, C::Value> = BTreeMap::new();
    let mut records = records;
    records.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (key, label) in &mut records {
        *label = names.entry(label.clone()).or_insert_with(|| named(key)).clone();
    }
    records
}

#[cfg(test)]
mod tests;
