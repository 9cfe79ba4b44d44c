//! agent (to be written by its owner)
