//! crypto (to be written by its owner)
