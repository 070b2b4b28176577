//! From a crop to a vector.
