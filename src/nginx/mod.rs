//! nginx (to be written by its owner)
