//! A state as pictures.
