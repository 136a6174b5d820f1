//! How many connections each address holds, so that one client can't shut the door for all others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses that hold a connection.
#[derive(Clone, Default)]
pub(super) struct Addresses {
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of an address, until it is dropped.
pub(super) struct Held {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// One more connection of that address; none if it holds `most` already.
    pub(super) fn take(&self, address: IpAddr, most: usize) -> Option<Held> {
        // A client of IPv4 on a socket for both is the same client.
        let address = address.to_canonical();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Held { addresses: self.clone(), address })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.addresses.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = held.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_number() {
        let addresses = Addresses::default();
        let [one, mapped, other] =
            ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let first = addresses.take(one, 2);
        let second = addresses.take(mapped, 2);
        assert!(first.is_some() && second.is_some() && addresses.take(one, 2).is_none());
        assert!(addresses.take(other, 2).is_some(), "what is given back at once doesn't count");
        drop(first);
        assert!(addresses.take(one, 2).is_some());
        drop(second);
        assert!(addresses.held.lock().unwrap().is_empty(), "nobody who has gone is remembered");
    }
}
