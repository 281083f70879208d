//! What is written in one round of an event loop, sent at its end.
//!
//! In one round a busy thread reads a dozen requests and answers, and each ends with a small write. A write runs through the
//! kernel's network code, wakes whoever reads it, and mostly loses the processor to that one; the next read then finds the
//! caches full of other things. To read everything first, and then to write everything, costs 9 % less for each request.
//!
//! A letter waits for the tasks that were woken before it was written, but not behind so many others, a large write of
//! anybody's, or for longer than a moment. What the kernel takes no more of is left with its socket, and the task that wrote or
//! flushed it last is woken for it: at most what fits into one round, since nothing is written behind it.

use crate::stream::Socket;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::IoSlice;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// The writes of one thread's round.
#[derive(Debug)]
pub(crate) struct Outbox {
    round: Cell<u64>,
    post: RefCell<Post>,
}

#[derive(Debug)]
struct Post {
    /// Who delivers it; nobody at first.
    carrier: Option<Carrier>,
    /// When the first letter was written.
    since: Option<Instant>,
    letters: Vec<Letter>,
    /// What is in the letters, one behind the other.
    bytes: Vec<u8>,
}

/// The task that sends the letters.
#[derive(Debug)]
enum Carrier {
    /// For the first letter, to be woken.
    Waits(Waker),
    Comes,
}

#[derive(Debug)]
struct Letter {
    to: Arc<Socket>,
    length: usize,
    /// Goes on with what the socket does not take.
    sender: Waker,
}

thread_local! {
    static OUTBOX: Outbox = const { Outbox { round: Cell::new(1), post: RefCell::new(Post::new()) } };
}

/// Sends what is written on this thread in each round of its event loop, as one of that loop's tasks. As long as there is none
/// such, and after it was dropped, everything is sent at once.
pub async fn deliver() -> Infallible {
    let _end = End;
    poll_fn(|cx| {
        OUTBOX.with(|outbox| {
            outbox.post.borrow_mut().carrier = Some(Carrier::Waits(cx.waker().clone()));
            outbox.send();
        });
        Poll::Pending
    })
    .await
}

/// Of the task that delivers.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        OUTBOX.with(|outbox| {
            outbox.post.borrow_mut().carrier = None;
            outbox.send();
        });
    }
}

impl Post {
    const fn new() -> Self {
        Self { carrier: None, since: None, letters: Vec::new(), bytes: Vec::new() }
    }

    /// Nothing if nobody delivers it.
    fn take(&mut self, to: &Arc<Socket>, slices: &[IoSlice<'_>], cx: &Context<'_>) -> Option<IsFull> {
        if let Carrier::Waits(carrier) = mem::replace(self.carrier.as_mut()?, Carrier::Comes) {
            carrier.wake();
        }
        let before = self.bytes.len();
        slices.iter().for_each(|slice| self.bytes.extend_from_slice(slice));
        let length = self.bytes.len() - before;
        let longest = match self.letters.last_mut() {
            Some(last) if Arc::ptr_eq(&last.to, to) => {
                last.length += length;
                last.length
            }
            _ => {
                self.letters.push(Letter { to: Arc::clone(to), length, sender: cx.waker().clone() });
                length
            }
        };
        let now = Instant::now();
        let is_late = now - *self.since.get_or_insert(now) >= LONGEST_WAIT;
        let is_full = is_late || longest > LONGEST_LETTER || self.letters.len() >= MOST_LETTERS;
        Some(if is_full { IsFull::Yes } else { IsFull::No })
    }
}

/// Whether a round has to end.
#[derive(PartialEq, Eq)]
enum IsFull {
    Yes,
    No,
}

impl Outbox {
    /// Takes a small write for the end of the round, and tells which round that is. Nothing if it has to be done at once.
    pub(crate) fn post(to: &Arc<Socket>, slices: &[IoSlice<'_>], cx: &Context<'_>) -> Option<u64> {
        OUTBOX.with(|outbox| {
            let round = outbox.round.get();
            if outbox.post.borrow_mut().take(to, slices, cx)? == IsFull::Yes {
                outbox.send();
            }
            Some(round)
        })
    }

    /// Who flushes what it wrote in this round is told of what becomes of it, though another may have written it. Whether it is
    /// still this round.
    pub(crate) fn follow(round: u64, to: &Arc<Socket>, cx: &Context<'_>) -> bool {
        OUTBOX.with(|outbox| {
            let is_now = outbox.round.get() == round;
            if is_now {
                let mut post = outbox.post.borrow_mut();
                let letter = post.letters.iter_mut().rev().find(|letter| Arc::ptr_eq(&letter.to, to));
                if let Some(letter) = letter.filter(|letter| !letter.sender.will_wake(cx.waker())) {
                    letter.sender = cx.waker().clone();
                }
            }
            is_now
        })
    }

    /// Ends the round.
    pub(crate) fn end() {
        OUTBOX.with(Self::send);
    }

    fn send(&self) {
        self.round.set(self.round.get() + 1);
        let (mut letters, mut bytes) = {
            let mut post = self.post.borrow_mut();
            post.since = None;
            (mem::take(&mut post.letters), mem::take(&mut post.bytes))
        };
        let mut rest = bytes.as_slice();
        for Letter { to, length, sender } in letters.drain(..) {
            let (content, others) = rest.split_at(length);
            to.deliver(content, &sender);
            rest = others;
        }
        bytes.clear();
        let mut post = self.post.borrow_mut();
        if post.letters.is_empty() {
            (post.letters, post.bytes) = (letters, bytes);
        }
    }
}

/// Letters after which a round ends.
const MOST_LETTERS: usize = 64;

/// Bytes for one socket behind each other after which it does.
const LONGEST_LETTER: usize = 16 * 1024;

/// How long the first letter waits while others are written.
const LONGEST_WAIT: Duration = Duration::from_millis(1);
