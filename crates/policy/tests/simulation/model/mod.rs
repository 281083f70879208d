//! A service in miniature: clients, a proxy around the real [`policy::Pool`], worker processes, and what goes wrong.
//!
//! A discrete-event model, deterministic by seed. The clients and the workers are simulated; every decision is the
//! pool's own, taken through its public face as the shell takes it.
//!
//! | file | idea |
//! |---|---|
//! | `scenario.rs` | what happens, as data: routes, load, fault, clients |
//! | `traffic.rs` | the arrivals, the same for every policy |
//! | `process.rs` | one worker: its loop, its threads |
//! | `agenda.rs` | what happens when |
//! | `world.rs` | the clock, and what befalls whom |
//! | `shell.rs` | carries out what the pool decides |
//! | `ledger.rs` | what became of each request, and which promises were broken |
//! | `optimum.rs` | the same traffic through one ideal queue |
//! | `figures.rs` | what is measured of a run |
//! | `goals.rs` | what the figures must be, and are |

mod agenda;
pub(crate) mod figures;
pub(crate) mod goals;
mod ledger;
mod optimum;
mod process;
pub(crate) mod scenario;
mod shell;
mod traffic;
mod world;
