//! Whose port is it? A worker that is told a port binds it a moment later, and in between anybody may take it. So the
//! kernel is asked who listens there, before the worker counts as ready: never is a request sent to a stranger.
//!
//! Unix sockets need no such question: nobody else can enter their folder.

use rustix::process::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::Ipv4Addr;

/// Whether all sockets that listen for connections to 127.0.0.1 on this port belong to the worker: to a process of
/// its group, or to a descendant of the group's leader. Where the kernel does not tell (no /proc, processes of
/// another user), the worker is believed.
pub(crate) fn is_workers(port: u16, leader: Pid) -> bool {
    let Ok(listening) = listeners(port) else { return true };
    match sockets(leader) {
        Ok(own) => listening.is_subset(&own),
        Err(_) => true,
    }
}

/// The inodes of the sockets that a connection to 127.0.0.1 on this port may reach (proc(5), /proc/net/tcp).
fn listeners(port: u16) -> io::Result<BTreeSet<u64>> {
    let loopback = Ipv4Addr::LOCALHOST;
    let reached = [
        in_table(&loopback.octets()),
        in_table(&Ipv4Addr::UNSPECIFIED.octets()),
        in_table(&loopback.to_ipv6_mapped().octets()),
        in_table(&[0; 16]),
    ];
    let reached = reached.map(|address| format!("{address}:{port:04X}"));
    let mut inodes = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = match fs::File::open(table) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
            table => BufReader::new(table?),
        };
        for row in table.lines().skip(1) {
            let row = row?;
            let fields: Vec<&str> = row.split_whitespace().collect();
            let &[_, local, _, state, _, _, _, _, _, inode, ..] = &*fields else { continue };
            if state == LISTEN && reached.iter().any(|address| address == local) {
                inodes.extend(inode.parse::<u64>());
            }
        }
    }
    Ok(inodes)
}

/// The inodes of all sockets that processes of the worker hold.
fn sockets(leader: Pid) -> io::Result<BTreeSet<u64>> {
    let leader = leader.as_raw_nonzero().get();
    let all = processes()?;
    let mut inodes = BTreeSet::new();
    for (pid, process) in &all {
        if process.group != leader && !descends(*pid, leader, &all) {
            continue;
        }
        let files = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            files => files?,
        };
        let links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        inodes.extend(links.filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse::<u64>().ok()
        }));
    }
    Ok(inodes)
}

struct Process {
    parent: i32,
    group: i32,
}

/// All processes (proc(5), /proc/PID/stat).
fn processes() -> io::Result<BTreeMap<i32, Process>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parse = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before the parenthesis may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(1).map(|field| field.parse::<i32>().ok());
        Some((pid, Process { parent: fields.next()??, group: fields.next()?? }))
    };
    Ok(pids.filter_map(parse).collect())
}

fn descends(pid: i32, ancestor: i32, all: &BTreeMap<i32, Process>) -> bool {
    let mut current = pid;
    // The snapshot is not of one moment: a chain longer than there are processes is none.
    for _ in 0..all.len() {
        match all.get(&current) {
            Some(_) if current == ancestor => return true,
            Some(process) => current = process.parent,
            None => return false,
        }
    }
    false
}

/// An address as the tables print it: words of the machine's byte order.
fn in_table(address: &[u8]) -> String {
    let words = address.as_chunks::<4>().0.iter();
    words.map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect()
}

/// `TCP_LISTEN` of Linux's tcp_states.h.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv6Addr, TcpListener};
    use std::process::Command;

    #[test]
    fn a_port_belongs_to_the_group_whose_process_listens_on_it_by_whatever_address() {
        let own_group = rustix::process::getpgrp();
        let mut other = Command::new("sleep");
        std::os::unix::process::CommandExt::process_group(&mut other, 0);
        let mut other = other.arg("60").spawn().expect("sleep is everywhere");
        let stranger = Pid::from_child(&other);
        for address in [Ipv6Addr::UNSPECIFIED.to_string(), "127.0.0.1".to_owned(), "0.0.0.0".to_owned()] {
            let listener = TcpListener::bind((address.as_str(), 0)).expect("a free port");
            let port = listener.local_addr().expect("bound").port();
            assert!(is_workers(port, own_group), "{address}");
            assert!(!is_workers(port, stranger), "{address}");
        }
        other.kill().expect("it runs");
        other.wait().expect("it ended");
    }
}
