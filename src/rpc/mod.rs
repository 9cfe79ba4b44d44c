//! rpc (to be written by its owner)
