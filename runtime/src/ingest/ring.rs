//! A bounded ring from the desk to one shard, and a bell: whoever takes from it sleeps when there is nothing, and is only
//! woken if it does. So a flood costs no system calls, and a lone event one.

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, fence};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

/// Looks before going to sleep: less than going to sleep and being woken costs.
const LOOKS: usize = 32;
/// A sleeper looks around so often in case nobody is left to wake it.
const NAP: Duration = Duration::from_secs(1);
/// How long the end that puts in waits at a time when there is no room. The desk does not let it come to that.
const PAUSE: Duration = Duration::from_micros(100);

/// The end that puts in.
#[derive(Debug)]
pub struct Feed<T> {
    ring: Producer<T>,
    bell: Arc<Bell>,
}

/// The end that takes out.
#[derive(Debug)]
pub struct Drain<T> {
    ring: Consumer<T>,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct Bell {
    asleep: AtomicBool,
    sleeper: OnceLock<Thread>,
}

/// The other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// A ring with so many places.
pub fn ring<T>(places: usize) -> (Feed<T>, Drain<T>) {
    let (producer, consumer) = RingBuffer::new(places);
    let bell = Arc::<Bell>::default();
    (Feed { ring: producer, bell: bell.clone() }, Drain { ring: consumer, bell })
}

impl<T> Feed<T> {
    /// Puts something in; waits for room if need be.
    pub fn put(&mut self, mut what: T) -> Result<(), Gone> {
        while let Err(PushError::Full(back)) = self.ring.push(what) {
            if self.ring.is_abandoned() {
                return Err(Gone);
            }
            what = back;
            self.ring_bell();
            std::thread::sleep(PAUSE);
        }
        self.ring_bell();
        Ok(())
    }

    /// How much waits to be taken out.
    pub fn waiting(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }

    fn ring_bell(&self) {
        // Putting in comes before this look, and the sleeper's word that it sleeps before its last look into the ring: one
        // of both sees the other.
        fence(SeqCst);
        if self.bell.asleep.load(Relaxed)
            && self.bell.asleep.swap(false, SeqCst)
            && let Some(sleeper) = self.bell.sleeper.get()
        {
            sleeper.unpark();
        }
    }
}

impl<T> Drain<T> {
    /// Takes what is next, if anything is there.
    pub fn try_take(&mut self) -> Result<Option<T>, Gone> {
        match self.ring.pop() {
            Ok(what) => Ok(Some(what)),
            // What was put in last was put in before the other end went.
            Err(_) if self.ring.is_abandoned() => self.ring.pop().map(Some).map_err(|_| Gone),
            Err(_) => Ok(None),
        }
    }

    /// Takes what is next; waits for it, at most so long if that is given.
    pub fn take(&mut self, at_most: Option<Duration>) -> Result<Option<T>, Gone> {
        for _ in 0..LOOKS {
            if let Some(what) = self.try_take()? {
                return Ok(Some(what));
            }
            std::hint::spin_loop();
        }
        loop {
            self.bell.sleeper.get_or_init(std::thread::current);
            self.bell.asleep.store(true, SeqCst);
            fence(SeqCst);
            let found = self.try_take();
            if !matches!(found, Ok(None)) {
                self.bell.asleep.store(false, SeqCst);
                return found;
            }
            std::thread::park_timeout(at_most.unwrap_or(NAP));
            self.bell.asleep.store(false, SeqCst);
            let found = self.try_take()?;
            if found.is_some() || at_most.is_some() {
                return Ok(found);
            }
        }
    }

    /// How much waits to be taken out.
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_in_order_through_a_narrow_ring_and_the_end_is_noticed() {
        let (mut feed, mut drain) = ring(4);
        let taker = std::thread::spawn(move || {
            let mut taken = Vec::new();
            while let Ok(what) = drain.take(None) {
                taken.extend(what);
            }
            taken
        });
        for n in 0..10_000 {
            feed.put(n).unwrap();
            if n % 1000 == 0 {
                // Long enough for the other end to fall asleep now and then.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(feed.waiting() <= 4);
        drop(feed);
        assert_eq!(taker.join().unwrap(), (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn who_waits_for_so_long_only_gets_nothing_and_a_full_ring_without_a_taker_is_an_error() {
        let (mut feed, mut drain) = ring(1);
        assert_eq!(drain.take(Some(Duration::from_millis(1))), Ok(None));
        feed.put(1).unwrap();
        assert_eq!((drain.waiting(), drain.try_take(), drain.try_take()), (1, Ok(Some(1)), Ok(None)));
        drop(drain);
        feed.put(2).unwrap();
        assert_eq!(feed.put(3), Err(Gone));
    }
}
