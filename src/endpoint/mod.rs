//! Wire, crypto, swim and serf as one machine.
