//! Links as bad as one likes: frames are lost, late, doubled, out of order, or wait their turn on a
//! slow line.
//!
//! The kernel of a small machine often lacks `sch_netem`, CI's does. So a thread of the test is the
//! switch: each cable ends in a macvtap device, whose frames it reads and hands on. What is random
//! comes from a seed that is the same each time; when frames come is not.

use crate::harness::draw;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Bytes that Linux writes before each frame: how much of its checksum is still to be done. They are
/// handed on with it.
const HEADER: usize = 10;
/// Bytes of a frame, its header included.
const FRAME_BYTES_MAX: usize = HEADER + (64 << 10) + 64;
/// Frames that wait to be looked at.
const WAITING_MAX: usize = 256;
/// Frames on their way: more are lost, as in any switch.
const UNDER_WAY_MAX: usize = 4_096;

/// What happens to frames. By itself nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// Of 1,000 frames, so many are lost.
    pub(super) lost: u64,
    /// How long each is under way, one way.
    pub(super) delay: Duration,
    /// So much more or less, by chance: what was sent later may come sooner.
    pub(super) jitter: Duration,
    /// Of 1,000 frames, so many come twice.
    pub(super) doubled: u64,
    /// Of 1,000 frames, so many come at once, before all that are under way.
    pub(super) overtaking: u64,
    /// What the cable to each host carries; nothing: any amount.
    pub(super) line: Option<Line>,
}

/// A slow line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) bits_per_second: u64,
    /// Bytes that wait before it. More are lost.
    pub(super) queue_bytes: u64,
}

impl Line {
    fn time(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes * 8 * 1_000_000_000 / self.bits_per_second)
    }
}

/// The thread that is the switch. It ends with this value.
pub(super) struct Wire {
    trouble: Arc<Mutex<Trouble>>,
    /// Runs [`Switch`]. Dropped, it stops.
    _runtime: Runtime,
}

impl Wire {
    /// Takes what comes out of `tap0` and so on in this namespace.
    pub(super) fn new(switch: &str, ports: usize) -> Wire {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads can be had");
        let trouble = Arc::default();
        let taps: Vec<File> = (0..ports).map(|port| open(switch, port)).collect();
        let (sender, frames) = mpsc::channel(WAITING_MAX);
        let inside = runtime.enter();
        for (port, tap) in taps.iter().enumerate() {
            let tap = tap.try_clone().expect("a file handle can be copied");
            // To the runtime it is as a pipe: bytes come when they come.
            let tap = Receiver::from_file_unchecked(tap).expect("a device can be waited for");
            runtime.spawn(read(tap, port, sender.clone()));
        }
        let switch = Switch {
            taps,
            trouble: Arc::clone(&trouble),
            ports_of: BTreeMap::new(),
            under_way: BTreeMap::new(),
            free_at: vec![None; ports],
            number: 0,
            dice: 20_261_129,
        };
        runtime.spawn(switch.run(frames));
        drop(inside);
        Wire {
            trouble,
            _runtime: runtime,
        }
    }

    pub(super) fn set_trouble(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Opens the device of a port. Its name under `/dev` is not used: it is the number that the interface
/// has in its namespace, and two namespaces may have the same.
fn open(switch: &str, port: usize) -> File {
    let shown = Command::new("ip")
        .args(["netns", "exec", switch, "sh", "-c"])
        .arg(format!("cat /sys/class/net/tap{port}/tap*/dev"))
        .output()
        .expect("ip is there");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let numbers = shown.trim().split_once(':').expect("a device has numbers");
    let numbers = (numbers.0.parse(), numbers.1.parse());
    let (Ok(major), Ok(minor)) = numbers else {
        panic!("no numbers: {shown}");
    };
    let folder = tempfile::tempdir().expect("a scratch directory can be made");
    let path = folder.path().join("tap");
    mknod(&path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(major, minor)).expect("root may make it");
    File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .expect("the device is there")
}

/// One frame and where it came from.
type Frame = (usize, Vec<u8>);

async fn read(tap: Receiver, port: usize, frames: mpsc::Sender<Frame>) {
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    while tap.readable().await.is_ok() {
        // One frame each time, however much room there is: only an attempt in vain says that there is
        // no more.
        match tap.try_read(&mut buffer) {
            Ok(len) => {
                if frames.send((port, buffer[..len].to_vec())).await.is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // The interface is down or gone.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Hands frames on.
struct Switch {
    taps: Vec<File>,
    trouble: Arc<Mutex<Trouble>>,
    /// Behind which port each sender is.
    ports_of: BTreeMap<[u8; 6], usize>,
    /// When each frame is there, and a number that keeps those of one moment in order.
    under_way: BTreeMap<(Instant, u64), Frame>,
    /// When the slow line to each port is free again.
    free_at: Vec<Option<Instant>>,
    number: u64,
    dice: u64,
}

impl Switch {
    async fn run(mut self, mut frames: mpsc::Receiver<Frame>) {
        loop {
            let next = self.under_way.first_key_value();
            let next = next.map(|((at, _), _)| *at);
            tokio::select! {
                frame = frames.recv() => match frame {
                    Some((from, frame)) => self.take(from, &frame),
                    None => return,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.deliver();
                }
            }
        }
    }

    fn take(&mut self, from: usize, frame: &[u8]) {
        let (Some(to), Some(sender)) = (address(frame, 0), address(frame, 6)) else {
            return;
        };
        self.ports_of.insert(sender, from);
        // Frames for a group go to all, and so do those for somebody who has not said anything.
        let is_group = to[0] & 1 == 1;
        let known = self.ports_of.get(&to).copied().filter(|_| !is_group);
        let ports = match known {
            Some(port) => port..port + 1,
            None => 0..self.taps.len(),
        };
        for port in ports.filter(|port| *port != from) {
            self.send(port, frame);
        }
    }

    /// Whether something happens that does to so many of 1,000.
    fn happens(&mut self, of_1000: u64) -> bool {
        draw(&mut self.dice) % 1_000 < of_1000
    }

    fn send(&mut self, port: usize, frame: &[u8]) {
        let trouble = *self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if self.happens(trouble.lost) {
            return;
        }
        let copies = 1 + u64::from(self.happens(trouble.doubled));
        for _ in 0..copies {
            let Some(sent) = self.pass_line(port, frame.len() - HEADER, trouble.line) else {
                return;
            };
            let span = u64::try_from(trouble.jitter.as_micros()).unwrap_or(u64::MAX) * 2 + 1;
            let jitter = Duration::from_micros(draw(&mut self.dice) % span);
            let delay = match self.happens(trouble.overtaking) {
                true => Duration::ZERO,
                false => (trouble.delay + jitter).saturating_sub(trouble.jitter),
            };
            if self.under_way.len() < UNDER_WAY_MAX {
                self.number += 1;
                let key = (sent + delay, self.number);
                self.under_way.insert(key, (port, frame.to_vec()));
            }
        }
    }

    /// When the last bit has gone over the line to this port; nothing if it found no room before it.
    fn pass_line(&mut self, port: usize, bytes: usize, line: Option<Line>) -> Option<Instant> {
        let now = Instant::now();
        let Some(line) = line else {
            return Some(now);
        };
        let begins = self.free_at[port].map_or(now, |free| free.max(now));
        if begins - now > line.time(line.queue_bytes) {
            return None;
        }
        let ends = begins + line.time(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.free_at[port] = Some(ends);
        Some(ends)
    }

    /// What is there by now goes out. A host that takes nothing loses it.
    fn deliver(&mut self) {
        let later = self.under_way.split_off(&(Instant::now(), u64::MAX));
        for (port, frame) in std::mem::replace(&mut self.under_way, later).into_values() {
            let _ = (&self.taps[port]).write(&frame);
        }
    }
}

/// One of the two addresses at the beginning of a frame.
fn address(frame: &[u8], at: usize) -> Option<[u8; 6]> {
    let bytes = frame.get(HEADER + at..HEADER + at + 6)?;
    bytes.try_into().ok()
}
