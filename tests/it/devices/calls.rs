//! Devices that call, and what has to have become of their calls.
#![allow(
    clippy::disallowed_methods,
    reason = "people pause between what they do, and so do these"
)]

use super::host::{Door, Host};
use super::lan::{enter, inside};
use crate::client::Client;
use crate::harness::PATIENCE;
use crate::sockets::{Handshake, Socket};
use client_messages::v2::{ClientMessage, ReducerOutcome, ServerMessage};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a caller whose peer is away waits before it asks again.
const AWAY: Duration = Duration::from_millis(100);

/// Texts of calls: asked for, and acknowledged. What is in between may have happened or not.
#[derive(Debug, Default)]
pub(super) struct Said {
    asked: BTreeSet<String>,
    pub(super) acknowledged: BTreeSet<String>,
}

impl Said {
    pub(super) fn add(&mut self, other: Said) {
        self.asked.extend(other.asked);
        self.acknowledged.extend(other.acknowledged);
    }

    /// A text that was asked for and acknowledged.
    pub(super) fn done(&mut self, text: String) {
        self.asked.insert(text.clone());
        self.acknowledged.insert(text);
    }

    /// Everybody has every call that was acknowledged, once, and none that nobody made.
    ///
    /// # Panics
    /// When it is not so.
    pub(super) fn check(&self, hosts: &[&Host]) {
        for host in hosts {
            let there = texts(host);
            let lost: Vec<_> = self.acknowledged.difference(&there).collect();
            let name = host.name();
            assert!(lost.is_empty(), "{name}: acknowledged and lost: {lost:?}");
            let unasked: Vec<_> = there.difference(&self.asked).collect();
            assert!(unasked.is_empty(), "{name}: nobody asked for {unasked:?}");
        }
    }
}

/// What has been said on a host.
///
/// # Panics
/// When something was said twice.
pub(super) fn texts(host: &Host) -> BTreeSet<String> {
    let rows = host.sql("SELECT text FROM message");
    let count = rows.len();
    let texts = rows
        .into_iter()
        .map(|row| row[0].as_str().expect("a text").to_owned());
    let texts: BTreeSet<String> = texts.collect();
    assert_eq!(texts.len(), count, "{}: a call ran twice", host.name());
    texts
}

/// Sends one message; whether it was acknowledged.
///
/// # Panics
/// When the reducer failed.
fn say(client: &Client, text: &str) -> Result<(), String> {
    let path = "/v1/database/chat/call/send_message";
    match client.request("POST", path, Some(&json!(["lobby", text]).to_string())) {
        Ok((200, _)) => Ok(()),
        Ok((530, why)) => panic!("{text}: {why}"),
        Ok((status, why)) => Err(format!("{status} {why}")),
        Err(why) => Err(why),
    }
}

/// Makes one call of a device.
///
/// # Errors
/// When it was not acknowledged, and why.
pub(super) fn call_once(door: &Door, text: &str) -> Result<(), String> {
    let client = door.client(None)?;
    inside(&door.namespace, || say(&client, text))
}

/// Calls with pauses until told to stop.
fn call(door: &Door, pause: Duration, stop: &AtomicBool) -> Said {
    enter(&door.namespace);
    let mut said = Said::default();
    let mut client = door.client(None);
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let text = format!("{} says {number}", door.name);
        said.asked.insert(text.clone());
        match client.as_ref().map(|client| say(client, &text)) {
            Ok(Ok(())) => {
                said.acknowledged.insert(text);
                std::thread::sleep(pause);
            }
            // It restarts.
            _ => {
                std::thread::sleep(AWAY);
                client = door.client(None);
            }
        }
    }
    said
}

/// Sets a flag when it goes, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets each of these devices call, with pauses between one acknowledgement and the next call, while
/// something happens. Gives what they said.
pub(super) fn while_all_call(doors: &[Door], pause: Duration, something: impl FnOnce()) -> Said {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let callers: Vec<_> = doors
            .iter()
            .map(|door| scope.spawn(move || call(door, pause, stop)))
            .collect();
        {
            let _stop = Stop(stop);
            something();
        }
        let mut said = Said::default();
        for caller in callers {
            said.add(caller.join().expect("a caller does not panic"));
        }
        said
    })
}

/// Calls on their way at a time, when a device has a backlog to make.
const WINDOW: usize = 256;

/// Makes a backlog: so many calls over one connection, without waiting for each.
///
/// # Panics
/// When one of them does not succeed.
pub(super) fn backlog(door: &Door, calls: usize) -> Said {
    inside(&door.namespace, || {
        let client = door.client(None).expect("it runs");
        let mut socket = open(&client);
        let mut said = Said::default();
        let mut waiting = BTreeMap::new();
        for number in 0..calls {
            if waiting.len() >= WINDOW {
                acknowledge(&mut socket, &mut waiting, &mut said);
            }
            let id = u32::try_from(number).expect("not that many");
            let text = format!("{} keeps {number}", door.name);
            said.asked.insert(text.clone());
            socket.ask(&ClientMessage::CallReducer {
                request_id: id,
                reducer: "send_message".to_owned(),
                args: arguments(&["lobby", &text]).into(),
            });
            waiting.insert(id, text);
        }
        while !waiting.is_empty() {
            acknowledge(&mut socket, &mut waiting, &mut said);
        }
        said
    })
}

/// Texts one after the other, as a module reads them.
fn arguments(texts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        let len = u32::try_from(text.len()).expect("a short text");
        bytes.extend(len.to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn open(client: &Client) -> Socket {
    let host = client.http().trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("the peer listens");
    let patient = stream.set_read_timeout(Some(PATIENCE));
    patient.expect("a socket can be set");
    let handshake = Handshake {
        token: Some(client.token()),
        ..Handshake::v2("chat")
    };
    let sent = stream.write_all(handshake.text().as_bytes());
    sent.expect("the peer takes a request");
    let mut socket = Socket::accepted(stream).expect("it is let in");
    match socket.next_v2() {
        ServerMessage::InitialConnection { .. } => socket,
        other => panic!("expected hello, got {other:?}"),
    }
}

/// Waits until one of the calls on their way has come back.
fn acknowledge(socket: &mut Socket, waiting: &mut BTreeMap<u32, String>, said: &mut Said) {
    match socket.next_v2() {
        ServerMessage::ReducerResult {
            request_id,
            result: ReducerOutcome::Ok { .. } | ReducerOutcome::OkEmpty,
            ..
        } => {
            let text = waiting.remove(&request_id).expect("it was asked");
            said.acknowledged.insert(text);
        }
        other => panic!("expected an outcome, got {other:?}"),
    }
}
