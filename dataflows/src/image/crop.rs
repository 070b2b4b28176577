//! The square cut around a region: cut, scale to 96 x 96, encode, decode.
