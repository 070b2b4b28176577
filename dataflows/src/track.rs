//! Following a mined region over the next frames.
