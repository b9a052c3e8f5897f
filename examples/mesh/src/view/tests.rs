use super::*;
use crate::state::{Claim, Device, Finished, Job, Link};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn who(digit: char) -> Identity {
    Identity::parse(&digit.to_string().repeat(64)).expect("an identity")
}

/// A minute after 1970 began.
const NOW: i64 = 60_000_000;

fn seconds_ago(seconds: i64) -> i64 {
    NOW - seconds * 1_000_000
}

fn state() -> State {
    let device = |digit, name: &str, kind, seen, readings, value| Device {
        identity: who(digit),
        name: name.to_owned(),
        kind,
        last_seen_us: seconds_ago(seen),
        readings,
        value,
    };
    State {
        now_us: NOW,
        peer: "http://127.0.0.1:3001".to_owned(),
        devices: vec![
            device('a', "roof", "temperature", 1, 120, Some(41.5)),
            device('b', "soil", "humidity", 0, 118, Some(61.2)),
            device('c', "pump\u{1b}[2J", "actuator", 45, 0, None),
        ],
        links: vec![
            Link {
                device: "0011223344".to_owned(),
                connected: true,
                in_sync: true,
                rtt_ms: Some(0.42),
                address: Some("/ip4/192.0.2.7/udp/4001/quic-v1".to_owned()),
            },
            Link {
                device: "99aabbccdd".to_owned(),
                connected: false,
                in_sync: false,
                rtt_ms: None,
                address: None,
            },
        ],
        jobs: vec![
            Job {
                number: 123_456,
                task: "water the tomatoes".to_owned(),
                seconds: 20,
                asked_us: seconds_ago(30),
                claim: Some(Claim {
                    actuator: who('c'),
                    since_us: seconds_ago(12),
                }),
            },
            Job {
                number: 654_321,
                task: "open the roof".to_owned(),
                seconds: 5,
                asked_us: seconds_ago(3),
                claim: None,
            },
        ],
        finished: vec![Finished {
            job: 222_222,
            task: "close the door".to_owned(),
            actuator: who('c'),
            at_us: seconds_ago(50),
        }],
        alarms: vec![
            Alarm {
                device: who('a'),
                value: 40.1,
                raised_us: seconds_ago(9),
                over_us: None,
                acknowledged_by: None,
            },
            Alarm {
                device: who('b'),
                value: 12.0,
                raised_us: seconds_ago(55),
                over_us: Some(seconds_ago(40)),
                acknowledged_by: Some(who('e')),
            },
        ],
        readings: 238,
        readings_per_second: 2.0,
        window_s: 3_600,
        away_s: 30,
        cut: 12,
        not_final: 3,
    }
}

/// The screen's lines, without the blanks at their ends.
fn drawn(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it has a size");
    terminal
        .draw(|frame| view.draw(frame))
        .expect("it can be drawn on");
    let buffer = terminal.backend().buffer();
    let cells = buffer.content.chunks(usize::from(width));
    cells
        .map(|line| {
            let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
            line.trim_end().to_owned()
        })
        .collect()
}

fn view() -> View {
    let mut view = View::new(who('e'));
    view.saw(state());
    view
}

fn press(view: &mut View, key: KeyCode) -> Option<Order> {
    view.key(KeyEvent::new(key, KeyModifiers::NONE))
}

fn typed(view: &mut View, text: &str) {
    for letter in text.chars() {
        assert_eq!(press(view, KeyCode::Char(letter)), None);
    }
}

#[test]
fn the_screen_shows_all_of_it() {
    let expected = include_str!("screen.txt");
    let shown = drawn(&view(), 132, 18).join("\n");
    assert_eq!(shown, expected.trim_end(), "\n{shown}\n");
}

#[test]
fn no_size_of_a_terminal_is_too_small() {
    for width in [1, 2, 10, 79, 300] {
        for height in [1, 2, 3, 7, 100] {
            assert_eq!(drawn(&view(), width, height).len(), usize::from(height));
            drawn(&View::new(who('e')), width, height);
        }
    }
}

#[test]
fn what_somebody_else_wrote_cannot_move_the_cursor() {
    let shown = drawn(&view(), 132, 18).join("\n");
    assert!(
        shown.contains("pump[2J") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    let text = as_text(&state());
    assert!(
        text.contains("pump[2J") && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[test]
fn the_text_says_the_same() {
    let text = as_text(&state());
    for part in [
        "1 of 2 others reached; cut 12, 3 calls not final; 2.0 readings/s",
        "roof             temperature  aaaaaaaa  seen 1 s ago    41.5  120 readings\n",
        "0 readings  away\n",
        "00112233  QUIC 192.0.2.7  0.4 ms  in sync\n",
        "99aabbcc  not reached",
        "123456  water the tomatoes (20 s)  pump[2J since 12 s\n",
        "654321  open the roof (5 s)  free\n",
        "222222  close the door  done by pump[2J 50 s ago\n",
        "roof             40.1  raised 9 s ago, not over, acknowledged by nobody\n",
        "raised 55 s ago, over since 40 s, acknowledged by eeeeeeee\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn the_chosen_alarm_is_acknowledged_once() {
    let mut view = view();
    let order = Order::Acknowledge {
        device: who('a'),
        raised_us: seconds_ago(9),
    };
    assert_eq!(press(&mut view, KeyCode::Char('a')), Some(order));
    assert_eq!(press(&mut view, KeyCode::Down), None);
    assert_eq!(press(&mut view, KeyCode::Down), None, "there is no third");
    assert_eq!(press(&mut view, KeyCode::Char('a')), None);
    let last = drawn(&view, 100, 18).pop().unwrap_or_default();
    assert_eq!(last, "this alarm is acknowledged already");
    // Without the chosen one, the first is meant.
    let mut fewer = state();
    fewer.alarms.truncate(1);
    view.saw(fewer);
    assert!(press(&mut view, KeyCode::Char('a')).is_some());
    // And it stays meant when another comes above it.
    let mut more = state();
    more.alarms.reverse();
    view.saw(more);
    let order = press(&mut view, KeyCode::Char('a'));
    let meant =
        |order: &Order| matches!(order, Order::Acknowledge { device, .. } if *device == who('a'));
    assert!(order.as_ref().is_some_and(meant), "{order:?}");
    view.saw(State::default());
    assert_eq!(press(&mut view, KeyCode::Char('a')), None);
}

#[test]
fn a_job_is_typed_with_its_seconds_or_without() {
    let job = |task: &str, seconds| {
        Some(Order::NewJob {
            task: task.to_owned(),
            seconds,
        })
    };
    let mut view = view();
    for (text, order) in [
        ("quit the roof 25", job("quit the roof", 25)),
        ("water", job("water", JOB_SECONDS)),
        ("row 7 please", job("row 7 please", JOB_SECONDS)),
        ("7", job("7", JOB_SECONDS)),
        ("  ", None),
    ] {
        press(&mut view, KeyCode::Char('n'));
        typed(&mut view, text);
        assert_eq!(press(&mut view, KeyCode::Enter), order, "{text}");
    }
    press(&mut view, KeyCode::Char('n'));
    typed(&mut view, "nox");
    press(&mut view, KeyCode::Backspace);
    let last = drawn(&view, 100, 18).pop().unwrap_or_default();
    assert!(last.contains("seconds: no▏"), "{last}");
    assert_eq!(press(&mut view, KeyCode::Esc), None);
    assert!(!view.is_over(), "it ends the typing, not the view");
    typed(&mut view, "q");
    assert!(view.is_over());
}

#[test]
fn control_c_leaves_also_while_a_job_is_typed() {
    let mut view = view();
    press(&mut view, KeyCode::Char('n'));
    view.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(view.is_over());
}

#[test]
fn a_peer_that_does_not_answer_is_said_and_what_is_known_grows_old() {
    let mut view = view();
    view.trouble("the peer does not answer".to_owned(), NOW + 300_000_000);
    let shown = drawn(&view, 132, 18);
    assert_eq!(
        shown.last().map(String::as_str),
        Some("the peer does not answer")
    );
    assert!(shown.join("\n").contains("away 5 min ago"), "{shown:#?}");
    view.saw(state());
    assert!(!drawn(&view, 132, 18).join("\n").contains("does not answer"));
}

#[test]
fn times_are_few_letters() {
    for (seconds, text) in [
        (-3, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_200, "2 h"),
        (172_800, "2 d"),
    ] {
        assert_eq!(ago(NOW, NOW - seconds * 1_000_000), text);
    }
}
