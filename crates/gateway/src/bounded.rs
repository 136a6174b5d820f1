//! A map that never grows past a limit: what is put in last pushes out what has been in longest.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values by key, at most so many.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    limit: usize,
    values: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Eq + Hash + Clone, V: Clone> Bounded<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, values: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.values.get(key).cloned()
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.values.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }

    pub(crate) fn get_or_put(&mut self, key: K, make: impl FnOnce() -> V) -> V {
        if let Some(value) = self.get(&key) {
            return value;
        }
        let value = make();
        self.put(key, value.clone());
        value
    }
}

/// One that calls share.
#[derive(Debug)]
pub(crate) struct Shared<K, V>(Mutex<Bounded<K, V>>);

impl<K: Eq + Hash + Clone, V: Clone> Shared<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Mutex::new(Bounded::new(limit)))
    }

    /// For as long as nobody else needs it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Bounded<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let mut map = Bounded::new(2);
        for key in 1..=3 {
            map.put(key, key * 10);
        }
        map.put(2, 21);
        assert_eq!((map.get(&1), map.get(&2), map.get(&3)), (None, Some(21), Some(30)));
        assert_eq!(map.get_or_put(4, || 40), 40);
        assert_eq!((map.get(&2), map.order.len(), map.values.len()), (None, 2, 2));
    }
}
