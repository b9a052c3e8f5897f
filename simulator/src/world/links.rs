//! What goes from peer to peer: messages over links, and join requests aside of them.

use peer_core::{Input, RequestId};
use sync_protocol::DeviceKey;

use super::{Event, World, short};

/// Milliseconds after which a link that was lost or hung up is dialled again.
const REDIAL_MS: u64 = 2_000;

impl World {
    pub(super) fn send(&mut self, from: usize, remote: &DeviceKey, bytes: Vec<u8>) {
        let Some(&to) = self.by_device.get(remote) else {
            return; // the stranger does not listen
        };
        self.counts.messages += 1;
        self.counts.bytes += bytes.len() as u64;
        self.overheard(&bytes);
        if self.keeps_back(from, &bytes) {
            self.counts.lies += 1;
            return self.say(format_args!("{from} keeps back {}", short(&bytes)));
        }
        let flights = self.network.send(from, to, self.now_us, &self.faults);
        let (len, copies) = (bytes.len(), flights.arrivals.len());
        self.say(format_args!(
            "{from} -> {to} {len} bytes {} ({copies})",
            short(&bytes)
        ));
        let life = flights.life;
        let slow_us = self.nodes[to].slow_us;
        for arrival in flights.arrivals {
            let bytes = bytes.clone();
            let arrival = arrival + slow_us;
            self.at(
                arrival,
                Event::Message {
                    from,
                    to,
                    life,
                    bytes,
                },
            );
        }
    }

    pub(super) fn join_ask(&mut self, from: usize, to: usize, join: RequestId, bytes: Vec<u8>) {
        let start = self.nodes[from].starts;
        if self.nodes[to].is_on() && !self.network.is_deaf(from, to) {
            self.requests += 1;
            let id = RequestId(self.requests);
            self.joins.insert(id, (from, start, join));
            let remote = self.nodes[from].device;
            self.input(to, Input::JoinAsked { id, remote, bytes });
        } else {
            let result = Err("it cannot be reached".to_owned());
            let to = from;
            self.after(
                1_000_000,
                Event::JoinAnswer {
                    to,
                    start,
                    join,
                    result,
                },
            );
        }
    }

    pub(super) fn dial(&mut self, a: usize, b: usize) {
        if self.exiles.contains(&a) || self.exiles.contains(&b) {
            return self.after(REDIAL_MS * 1_000, Event::Dial { a, b });
        }
        if self.nodes[a].is_on() && self.nodes[b].is_on() && self.network.raise(a, b) {
            for (at, other) in [(a, b), (b, a)] {
                let remote = self.nodes[other].device;
                self.input(at, Input::LinkUp { remote });
            }
        }
    }

    /// A link is lost, and dialled again in a while.
    pub(super) fn unlink(&mut self, a: usize, b: usize) {
        if self.network.drop_link(a, b) {
            for (at, other) in [(a, b), (b, a)] {
                let remote = self.nodes[other].device;
                self.input(at, Input::LinkDown { remote });
            }
            let wait = self.accidents.around(REDIAL_MS * 1_000);
            self.after(wait, Event::Dial { a, b });
        }
    }
}
