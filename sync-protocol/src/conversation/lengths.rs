//! How long an answer may be: what the link carries in about a second. On a slow one a longer answer
//! would keep everything else waiting, questions would be repeated, and the copies that they bring
//! would fill it.
//!
//! A remote asks one question of a kind after the other. So the next one says that the answer before
//! has arrived, and the same one again that it has not. Whoever asks waits the longer, the longer the
//! last answer took.

use super::limits::{
    ANSWER_BYTES_FIRST, ANSWER_BYTES_MIN, ANSWER_WAIT_MAX_MS, ANSWER_WAIT_MS, CARRIED_LATE_MS,
    CARRIED_SOON_MS, LONGER_MAX,
};
use crate::time::Tick;

/// How long answers of one kind are on this link.
#[derive(Debug)]
pub(super) struct Lengths {
    bytes: usize,
    bytes_max: usize,
    answered: Option<Answered>,
}

/// The question that was answered last.
#[derive(Debug)]
struct Answered {
    request: u32,
    /// When first.
    at: Tick,
    /// Bytes of the first answer: of several it is the one that arrives.
    len: usize,
    /// It came again, for which answers are shorter already.
    repeated: bool,
}

impl Lengths {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: ANSWER_BYTES_FIRST,
            bytes_max,
            answered: None,
        }
    }

    /// Bytes that the answer to this question may have.
    pub(super) fn of_answer(&mut self, request: u32, now: Tick) -> usize {
        if let Some(last) = &mut self.answered {
            let ms = now.since(last.at) / 1_000;
            let again = last.request == request;
            // A short answer says nothing about a long one.
            let is_told = again || (!last.repeated && last.len >= self.bytes / 2);
            if is_told && ms > CARRIED_LATE_MS {
                self.bytes /= 2;
                last.repeated |= again;
            } else if is_told && !again {
                let in_time = self.bytes * CARRIED_SOON_MS as usize / ms.max(1) as usize;
                self.bytes = in_time.clamp(self.bytes, LONGER_MAX * self.bytes);
            }
            self.bytes = self.bytes.clamp(ANSWER_BYTES_MIN, self.bytes_max);
        }
        self.bytes
    }

    /// This question was answered with so many bytes.
    pub(super) fn note_answer(&mut self, request: u32, now: Tick, len: usize) {
        let is_first = |last: &Answered| last.request != request;
        if self.answered.as_ref().is_none_or(is_first) {
            self.answered = Some(Answered {
                request,
                at: now,
                len,
                repeated: false,
            });
        }
    }
}

/// How long a question waits for its answer before it is repeated.
#[derive(Debug)]
pub(super) struct Patience(u64);

impl Default for Patience {
    fn default() -> Self {
        Self(ANSWER_WAIT_MS)
    }
}

impl Patience {
    /// Milliseconds until it is repeated for the first time.
    pub(super) fn ms(&self) -> u64 {
        self.0
    }

    /// A question that was first asked at this time, and so often, is answered now: the next may take
    /// twice as long. If it was repeated, an answer may have been lost, and waiting longer for the next
    /// would be in vain: then it may take as long.
    pub(super) fn note_answer(&mut self, since: Tick, asks: u8, now: Tick) {
        let ms = now.since(since) / 1_000;
        let times = if asks == 1 { 2 } else { 1 };
        self.0 = (times * ms).clamp(ANSWER_WAIT_MS, ANSWER_WAIT_MAX_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_slow_is_waited_for() {
        let mut patience = Patience::default();
        let answered_after = |patience: &mut Patience, ms| {
            patience.note_answer(Tick(5), 1, Tick(5).plus_ms(ms));
            patience.ms()
        };
        assert_eq!(answered_after(&mut patience, 20), ANSWER_WAIT_MS);
        assert_eq!(answered_after(&mut patience, 6_000), 12_000);
        assert_eq!(answered_after(&mut patience, 100_000), ANSWER_WAIT_MAX_MS);
        assert_eq!(answered_after(&mut patience, 0), ANSWER_WAIT_MS);
        patience.note_answer(Tick(5), 2, Tick(5).plus_ms(6_000));
        assert_eq!(patience.ms(), 6_000, "one may have been lost");
    }

    const MAX: usize = 1 << 20;

    /// Asks so often, over a link on which an answer takes this long and its length, and gives how long
    /// the last was.
    fn asked(lengths: &mut Lengths, times: u32, ms: usize, bytes_per_s: usize) -> usize {
        let mut now = Tick(0);
        let mut last = 0;
        for request in 0..times {
            last = lengths.of_answer(request, now);
            lengths.note_answer(request, now, last);
            now = now.plus_ms((ms + last * 1_000 / bytes_per_s) as u64);
        }
        last
    }

    #[test]
    fn answers_are_as_long_as_the_link_is_fast() {
        let mut lengths = Lengths::new(MAX);
        assert_eq!(asked(&mut lengths, 10, 1, 100 << 20), MAX, "a fast link");
        let slow = asked(&mut lengths, 10, 1, 8_000);
        assert!(slow <= 16 << 10, "{slow} bytes take too long");
        let quick = asked(&mut lengths, 10, 1, 100 << 20);
        assert_eq!(quick, MAX, "it has become fast again");
        let far = asked(&mut Lengths::new(MAX), 10, 600, 100 << 20);
        assert_eq!(far, MAX, "a fast link to a far place");
    }

    #[test]
    fn a_question_that_comes_again_is_answered_in_fewer_words() {
        let mut lengths = Lengths::new(MAX);
        let first = lengths.of_answer(1, Tick(0));
        lengths.note_answer(1, Tick(0), first);
        assert_eq!(lengths.of_answer(1, Tick(1_000)), first, "it came twice");
        let again = lengths.of_answer(1, Tick(4_000_000));
        assert_eq!(again, first / 2);
        lengths.note_answer(1, Tick(4_000_000), again);
        // Which of the two has arrived nobody knows: the same loss does not count twice.
        assert_eq!(lengths.of_answer(2, Tick(4_100_000)), first / 2);
    }

    #[test]
    fn short_answers_say_nothing() {
        let mut lengths = Lengths::new(MAX);
        let first = lengths.of_answer(1, Tick(0));
        lengths.note_answer(1, Tick(0), 10);
        assert_eq!(lengths.of_answer(2, Tick(1)), first);
        lengths.note_answer(2, Tick(1), 10);
        let hours_later = Tick(0).plus_ms(10_000_000);
        assert_eq!(lengths.of_answer(3, hours_later), first);
    }
}
