//! The gateway as agents meet it: between an API server in memory and a provider that does what it is told.

mod answers;
mod callers;
mod calls;
mod common;
mod money;
mod sockets;
mod streams;
mod unmetered;
