//! upstream (to be written by its owner)
