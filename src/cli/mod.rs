//! cli (to be written by its owner)
