//! Who holds how many connections and requests: the one account that all threads share.
//!
//! A client is an IPv4 address, or the /64 network of an IPv6 address: that much of it a customer is given, and may
//! change at will. What is kept of it is there as long as it holds something, so the account is no longer than the list
//! of connections. A request counts by two additions to a number that its connection knows already; only the first and
//! the last hold of a connection look the client up, under the lock of one of many parts.

use crate::Options;
use ipnet::IpNet;
use prometheus::IntGauge;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The account.
#[derive(Debug)]
pub(crate) struct Clients {
    most_connections: Option<u32>,
    most_in_flight: Option<u32>,
    /// Networks of addresses that stand for more than one client.
    exempt: Vec<IpNet>,
    most_open: usize,
    /// Connections of all clients.
    open: AtomicUsize,
    /// The same, for whoever measures.
    gauge: IntGauge,
    parts: [Mutex<HashMap<IpAddr, Weak<Client>>>; PARTS],
    hasher: RandomState,
}

/// One client, as long as it holds something.
#[derive(Debug)]
struct Client {
    account: Arc<Clients>,
    network: IpAddr,
    connections: AtomicU32,
    in_flight: AtomicU32,
}

/// A client holds as much as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Seat {
    account: Arc<Clients>,
    /// Nothing before it is known who it is, and for an address that is not counted.
    client: Option<Arc<Client>>,
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Client>);

impl Clients {
    pub(crate) fn new(options: &Options, gauge: IntGauge) -> Self {
        let limits = &options.limits;
        Self {
            most_connections: limits.client_connections,
            most_in_flight: limits.client_in_flight,
            exempt: limits.exempt.iter().chain(&*options.trusted_proxies).copied().collect(),
            most_open: limits.connections,
            open: AtomicUsize::new(0),
            gauge,
            parts: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// A seat for one more connection, if there is one.
    pub(crate) fn seat(self: &Arc<Self>) -> Option<Seat> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.most_open {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.gauge.inc();
        Some(Seat { account: Arc::clone(self), client: None })
    }

    /// Counts a request of a client that is known by its address alone: a trusted proxy vouches for it.
    ///
    /// # Errors
    /// When it has as many in flight as it may.
    pub(crate) fn begin(self: &Arc<Self>, address: IpAddr) -> Result<Option<Turn>, Full> {
        match self.most_in_flight {
            Some(most) => self.find(address).map(|client| begin(&client, most)).transpose(),
            None => Ok(None),
        }
    }

    /// The client at this address, if it is counted.
    fn find(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Client>> {
        let address = address.to_canonical();
        if self.exempt.iter().any(|block| block.contains(&address)) {
            return None;
        }
        let network = network(address);
        let new = || {
            let (connections, in_flight) = (AtomicU32::new(0), AtomicU32::new(0));
            Arc::new(Client { account: Arc::clone(self), network, connections, in_flight })
        };
        Some(match self.part(network).entry(network) {
            Entry::Occupied(mut entry) => entry.get().upgrade().unwrap_or_else(|| {
                // Its last hold is being given back on another thread.
                let client = new();
                entry.insert(Arc::downgrade(&client));
                client
            }),
            Entry::Vacant(entry) => {
                let client = new();
                entry.insert(Arc::downgrade(&client));
                client
            }
        })
    }

    fn part(&self, network: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Weak<Client>>> {
        let part = self.hasher.hash_one(network) as usize % PARTS;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Counts the connection for whoever is at this address.
    ///
    /// # Errors
    /// When it has as many as it may.
    pub(crate) fn assign(&mut self, address: Option<IpAddr>) -> Result<(), Full> {
        let account = &self.account;
        if account.most_connections.is_none() && account.most_in_flight.is_none() {
            return Ok(());
        }
        let Some(client) = address.and_then(|address| account.find(address)) else { return Ok(()) };
        take(&client.connections, account.most_connections.unwrap_or(u32::MAX))?;
        self.client = Some(client);
        Ok(())
    }

    /// Counts a request of whoever is at the other end.
    ///
    /// # Errors
    /// When it has as many in flight as it may.
    pub(crate) fn begin(&self) -> Result<Option<Turn>, Full> {
        match (&self.client, self.account.most_in_flight) {
            (Some(client), Some(most)) => begin(client, most).map(Some),
            (None, _) | (_, None) => Ok(None),
        }
    }

    /// The account that it is in.
    pub(crate) fn account(&self) -> &Arc<Clients> {
        &self.account
    }
}

fn begin(client: &Arc<Client>, most: u32) -> Result<Turn, Full> {
    take(&client.in_flight, most)?;
    Ok(Turn(Arc::clone(client)))
}

/// Counts one more, unless that would be too many.
fn take(count: &AtomicU32, most: u32) -> Result<(), Full> {
    if count.fetch_add(1, Ordering::Relaxed) < most {
        return Ok(());
    }
    count.fetch_sub(1, Ordering::Relaxed);
    Err(Full)
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.account.open.fetch_sub(1, Ordering::Relaxed);
        self.account.gauge.dec();
        if let Some(client) = &self.client {
            client.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut part = self.account.part(self.network);
        // Another one may have followed it already.
        if part.get(&self.network).is_some_and(|client| client.strong_count() == 0) {
            part.remove(&self.network);
        }
    }
}

/// What of an address stands for one client.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// More than there will be threads that want one at once.
const PARTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn account(connections: Option<u32>, in_flight: Option<u32>) -> Arc<Clients> {
        let exempt = vec!["127.0.0.0/8".parse().expect("a network")];
        let limits = Limits {
            client_connections: connections,
            client_in_flight: in_flight,
            exempt,
            ..Limits::default()
        };
        let trusted_proxies = [IpNet::from(address("10.0.0.1"))].into();
        let options = Options { limits, trusted_proxies, ..Options::default() };
        Arc::new(Clients::new(&options, IntGauge::new("open", "open").expect("a name")))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn open(account: &Arc<Clients>, from: &str) -> Result<Seat, Full> {
        let mut seat = account.seat().expect("there is room");
        seat.assign(Some(address(from)))?;
        Ok(seat)
    }

    fn known(account: &Clients) -> usize {
        account.parts.iter().map(|part| part.lock().expect("no panic under it").len()).sum()
    }

    #[test]
    fn a_client_may_have_so_many_connections_and_gets_back_those_it_closed() {
        let account = account(Some(2), None);
        let first = open(&account, "192.0.2.1").expect("there is room");
        let _second = open(&account, "192.0.2.1").expect("there is room");
        assert_eq!(open(&account, "192.0.2.1").err(), Some(Full));
        assert!(open(&account, "192.0.2.2").is_ok(), "another client has its own");
        drop(first);
        assert!(open(&account, "::ffff:192.0.2.1").is_ok(), "the same client by another socket");
    }

    #[test]
    fn there_are_so_many_seats_for_all_clients_together() {
        let limits = Limits { connections: 2, ..Limits::default() };
        let options = Options { limits, ..Options::default() };
        let account = Arc::new(Clients::new(&options, IntGauge::new("open", "open").expect("a name")));
        let first = account.seat();
        let second = account.seat();
        assert!(first.is_some() && second.is_some() && account.seat().is_none() && account.seat().is_none());
        drop(first);
        assert!(account.seat().is_some());
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let account = account(Some(1), None);
        let _first = open(&account, "2001:db8:0:1::1").expect("there is room");
        assert_eq!(open(&account, "2001:db8:0:1:ffff::2").err(), Some(Full));
        assert!(open(&account, "2001:db8:0:2::1").is_ok());
    }

    #[test]
    fn whoever_stands_for_many_is_not_counted() {
        let account = account(Some(1), Some(1));
        for many in ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1"] {
            let first = open(&account, many).expect("it is not counted");
            let second = open(&account, many).expect("it is not counted");
            assert!(first.begin().is_ok_and(|turn| turn.is_none()));
            assert!(second.begin().is_ok_and(|turn| turn.is_none()));
        }
        let mut nameless = account.seat().expect("there is room");
        assert_eq!(nameless.assign(None), Ok(()));
    }

    #[test]
    fn requests_of_a_client_count_together_whichever_connection_they_come_by() {
        let account = account(None, Some(2));
        let (one, other) = (open(&account, "192.0.2.1"), open(&account, "192.0.2.1"));
        let (one, other) = (one.expect("no limit"), other.expect("no limit"));
        let first = one.begin().expect("there is room");
        let _vouched = account.begin(address("192.0.2.1")).expect("there is room");
        assert_eq!(other.begin().err(), Some(Full));
        drop(first);
        assert!(other.begin().is_ok_and(|turn| turn.is_some()));
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let account = account(Some(1), Some(1));
        let seat = open(&account, "192.0.2.1").expect("there is room");
        let turn = account.begin(address("192.0.2.2")).expect("there is room");
        assert_eq!(open(&account, "192.0.2.1").err(), Some(Full));
        assert_eq!((known(&account), account.gauge.get()), (2, 1));
        drop((seat, turn));
        assert_eq!((known(&account), account.gauge.get()), (0, 0));
    }

    #[test]
    fn counts_are_exact_under_threads() {
        let account = account(Some(3), Some(3));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Ok(seat) = open(&account, "192.0.2.1") {
                            let connections =
                                seat.client.as_ref().map(|client| client.connections.load(Ordering::Relaxed));
                            assert!(connections.is_some_and(|count| count >= 1));
                            drop(seat.begin());
                        }
                    }
                });
            }
        });
        assert_eq!((known(&account), account.open.load(Ordering::Relaxed)), (0, 0));
    }
}
