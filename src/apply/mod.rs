//! apply (to be written by its owner)
