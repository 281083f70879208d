//! The program as its users meet it: the real binary, real workers, real sockets.

mod admin;
mod balance;
mod cancel;
mod checklist;
mod clients;
mod config;
mod failures;
mod freeze;
mod grpc;
mod ledger;
mod logs;
mod origin;
mod pools;
mod processes;
mod protocol;
mod rescue;
mod restarts;
mod routes;
mod servers;
mod shutdown;
mod starting;
mod support;
mod tls;
mod wire;
