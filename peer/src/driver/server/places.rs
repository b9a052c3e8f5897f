//! Places for remotes: so many in all, and so many for one address, so that whoever takes all of
//! his leaves the others theirs. Programs on this machine have places of their own: no stranger can
//! take them, so the owner always gets in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bounded number of places.
#[derive(Debug)]
pub(super) struct Places {
    /// For remotes, all told.
    remote_max: usize,
    /// For one remote address.
    address_max: usize,
    /// For programs on this machine.
    local_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    local: usize,
    remote: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// One of them, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// `None`: of this machine.
    address: Option<IpAddr>,
}

impl Places {
    pub(super) fn new(remote_max: usize, address_max: usize, local_max: usize) -> Arc<Self> {
        Arc::new(Self {
            remote_max,
            address_max,
            local_max,
            taken: Mutex::default(),
        })
    }

    /// A place for somebody who comes from this address, if there is one.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let address = remote(from);
        let mut taken = self.taken();
        match address {
            None if taken.local >= self.local_max => return None,
            None => taken.local += 1,
            Some(address) => {
                let of_it = taken.by_address.get(&address).copied().unwrap_or(0);
                if taken.remote >= self.remote_max || of_it >= self.address_max {
                    return None;
                }
                taken.remote += 1;
                taken.by_address.insert(address, of_it + 1);
            }
        }
        drop(taken);
        Some(Place {
            places: Arc::clone(self),
            address,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let Some(address) = self.address else {
            taken.local -= 1;
            return;
        };
        taken.remote -= 1;
        if let Some(count) = taken.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

/// What counts as one address; none for this machine. Who has an IPv6 address has the 2^64 beside
/// it, too.
fn remote(from: IpAddr) -> Option<IpAddr> {
    match from.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Some(IpAddr::V6(Ipv6Addr::from(network)))
        }
        address @ IpAddr::V4(_) => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_leaves_the_others_their_places_and_strangers_leave_the_owner_his() {
        let places = Places::new(3, 2, 1);
        let one = places.take(ip("192.0.2.1"));
        let two = places.take(ip("192.0.2.1"));
        assert!(one.is_some() && two.is_some());
        assert!(places.take(ip("192.0.2.1")).is_none(), "it has its two");
        let other = places.take(ip("192.0.2.2"));
        assert!(other.is_some());
        assert!(places.take(ip("192.0.2.3")).is_none(), "three are there");
        let local = places.take(ip("127.0.0.1"));
        assert!(local.is_some(), "nobody takes the owner's");
        assert!(places.take(ip("::1")).is_none());
        assert!(places.take(ip("::ffff:127.0.0.1")).is_none());
        drop((one, local));
        assert!(places.take(ip("192.0.2.3")).is_some());
        assert!(places.take(ip("127.8.8.8")).is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let places = Places::new(9, 1, 1);
        let first = places.take(ip("2001:db8:0:1::1"));
        assert!(first.is_some());
        assert!(places.take(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(places.take(ip("2001:db8:0:2::1")).is_some());
        drop(first);
        assert!(places.take(ip("2001:db8:0:1::3")).is_some());
        assert!(
            places.taken().by_address.is_empty(),
            "nothing is remembered"
        );
    }
}
