//! The machine: its description, its instruction set, and when each instruction does what.
//!
//! In: a name such as `lockstep1:8` or a TOML description; instructions as values, bytes or text. Out: a
//! [`spec::MachineSpec`], encoded and printed instructions, and for each instruction the [`access::Access`]es it makes:
//! which place it reads or writes, how many cycles after its issue. It knows no models and not how programs are made or
//! run. Start reading at [`spec`], then [`geometry`], then [`inst`] (the one table), then [`access`].

pub mod access;
pub mod check;
pub mod declared;
pub mod description;
pub mod figures;
pub mod geometry;
pub mod hops;
pub mod inst;
pub mod keys;
pub mod legal;
pub mod manual;
pub mod network;
pub mod outage;
pub mod spec;
pub mod system;
pub mod topology;
