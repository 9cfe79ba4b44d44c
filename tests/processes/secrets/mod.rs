//! Keys and tokens stay where they belong: no output, log, file that others can read, or `Debug` shows one.

mod agents;
mod debug;
mod forms;
