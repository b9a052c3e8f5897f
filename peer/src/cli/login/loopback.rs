//! The port of this machine to which a provider sends the browser back, with a code.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use crate::cli::output::shown;

const PATH: &str = "/callback";

/// Bytes of a request's head that are looked at.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a browser may take to send it.
const HEAD_WAIT: Duration = Duration::from_secs(5);

/// How often somebody is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits for a browser.
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

/// What a request means.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The provider's answer.
    Code(String),
    /// The provider says no.
    Refused(String),
    /// Anything else that a browser asks for, or somebody who does not know the state.
    Nothing,
}

impl Loopback {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the port is taken.
    pub(super) fn open(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("cannot listen on port {port}; choose another"))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Where the browser is to be sent.
    pub(super) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// The code that the provider sends, in an answer to the question with this state.
    ///
    /// # Errors
    /// When the provider refuses, or nobody comes in time.
    pub(super) fn code(
        &self,
        issuer: &str,
        state: &str,
        patience: Duration,
    ) -> anyhow::Result<String> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    sleep(LOOK_EVERY);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            // Whoever else connects here costs some seconds at most.
            let Ok(head) = head_of(&stream) else {
                continue;
            };
            match came(&head, issuer, state) {
                Came::Code(code) => {
                    answer(
                        &stream,
                        "200 OK",
                        "You are signed in. This page can be closed.",
                    );
                    return Ok(code);
                }
                Came::Refused(why) => {
                    answer(
                        &stream,
                        "200 OK",
                        "You are not signed in. This page can be closed.",
                    );
                    bail!("the provider says no: {}", shown(&why));
                }
                Came::Nothing => answer(&stream, "404 Not Found", "There is nothing here."),
            }
        }
        Err(anyhow!(
            "nobody signed in within {} minutes",
            patience.as_secs() / 60
        ))
    }
}

fn head_of(mut stream: &TcpStream) -> std::io::Result<String> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(HEAD_WAIT))?;
    stream.set_write_timeout(Some(HEAD_WAIT))?;
    let mut head = Vec::new();
    let mut part = [0; 1_024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match stream.read(&mut part)? {
            0 => break,
            read => head.extend_from_slice(&part[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn answer(mut stream: &TcpStream, status: &str, text: &str) {
    let page = format!("<!doctype html><meta charset=utf-8><title>Tombolo</title><p>{text}</p>");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n",
        page.len()
    );
    // A browser that has gone away has what it needs.
    let _ = stream.write_all(format!("{head}{page}").as_bytes());
}

/// Reads the first line of a request. Only who knows the state is answered: another page could send
/// the browser here with a code of somebody else.
fn came(head: &str, issuer: &str, state: &str) -> Came {
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let (Some("GET"), Some(target)) = (words.next(), words.next()) else {
        return Came::Nothing;
    };
    let Some(query) = target
        .strip_prefix(PATH)
        .and_then(|it| it.strip_prefix('?'))
    else {
        return Came::Nothing;
    };
    let field = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(field, _)| *field == name);
        found.map(|(_, value)| unescaped(value))
    };
    if field("state").as_deref() != Some(state) {
        return Came::Nothing;
    }
    // RFC 9207: an answer of another provider than the one that was asked.
    if field("iss").is_some_and(|named| named != issuer) {
        return Came::Refused("the answer is of another provider".to_owned());
    }
    match (field("code"), field("error")) {
        (Some(code), None) => Came::Code(code),
        (_, Some(error)) => {
            let why = field("error_description").unwrap_or_default();
            Came::Refused(format!("{error} {why}").trim().to_owned())
        }
        (None, None) => Came::Nothing,
    }
}

/// A value of a query: `+` is a space, `%41` an A.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .first_chunk::<2>()
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match escaped {
            Some(byte) => {
                bytes.push(byte);
                &after[2..]
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://a.b/";

    #[test]
    fn only_an_answer_to_our_own_question_counts() {
        let check = |target: &str, meaning: Came| {
            let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
            assert_eq!(came(&head, ISSUER, "s-1"), meaning, "{target}");
        };
        let code = |text: &str| Came::Code(text.to_owned());
        check("/callback?code=a%2Bb+c&state=s-1", code("a+b c"));
        check(
            "/callback?state=s-1&code=a&iss=https%3A%2F%2Fa.b%2F",
            code("a"),
        );
        for other in [
            "/callback?code=a&state=s-2",
            "/callback?code=a",
            "/callback?code=a&state=",
            "/callback?state=s-1",
            "/callback",
            "/?code=a&state=s-1",
            "/callbacks?code=a&state=s-1",
            "/favicon.ico",
        ] {
            check(other, Came::Nothing);
        }
        let refused = |text: &str| Came::Refused(text.to_owned());
        check(
            "/callback?error=access_denied&error_description=not+you&state=s-1",
            refused("access_denied not you"),
        );
        check(
            "/callback?code=a&state=s-1&iss=https%3A%2F%2Fevil.example",
            refused("the answer is of another provider"),
        );
        assert_eq!(came("", ISSUER, "s-1"), Came::Nothing);
        let post = "POST /callback?code=a&state=s-1 HTTP/1.1";
        assert_eq!(came(post, ISSUER, "s-1"), Came::Nothing);
    }

    #[test]
    fn a_browser_is_answered_and_others_are_waited_out() {
        let back = Loopback::open(0).expect("a free port");
        let port = back.port;
        let ask = move |target: &str| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            let request = format!("GET {target} HTTP/1.1\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("it reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("it answers");
            answer
        };
        let browser = std::thread::spawn(move || {
            drop(TcpStream::connect(("127.0.0.1", port)).expect("it listens"));
            (ask("/favicon.ico"), ask("/callback?code=c&state=s"))
        });
        let code = back.code(ISSUER, "s", Duration::from_secs(20));
        assert_eq!(code.expect("it came"), "c");
        let (other, page) = browser.join().expect("it was answered");
        assert!(other.starts_with("HTTP/1.1 404"), "{other}");
        assert!(page.contains("You are signed in"), "{page}");
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(unescaped("%"), "%");
        assert_eq!(unescaped("%4"), "%4");
        assert_eq!(unescaped("%zz%41"), "%zzA");
        assert_eq!(unescaped("%c3%a4"), "\u{e4}");
    }
}
