//! snapshot (to be written by its owner)
