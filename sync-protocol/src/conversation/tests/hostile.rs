//! Remotes that say anything at all.

use proptest::prelude::*;

use super::super::limits::{PUSHED_AT_ONCE, PUSHED_TIMES, QUESTIONS_AT_ONCE, SIGNED_AT_ONCE};
use super::super::{ConversationEffect, ConversationInput};
use super::harness::{Dice, Mesh, secret};
use crate::cut::{CutRef, Term};
use crate::dag::ChainTip;
use crate::ids::{BlobHash, CutId, DeviceKey, EntryId, HeadsHash};
use crate::message::{Answer, Hello, Message, SegmentPage, Standing, Want};
use crate::reconcile::{Range, RangeFingerprint, Told, Until};
use crate::time::Hlc;

fn standing(height: u64) -> Standing {
    Standing {
        cut: Some(CutRef {
            term: Term::FIRST,
            height,
            id: CutId([3; 32]),
        }),
        heads: HeadsHash([4; 32]),
    }
}

fn ranges(id: EntryId, far: u64) -> Vec<Range> {
    let range = |until, told| Range { until, told };
    vec![
        range(Until::Time(Hlc(far)), Told::Ids(vec![id])),
        range(
            Until::End,
            Told::Fingerprint(RangeFingerprint([id.0[0]; 16])),
        ),
    ]
}

/// Some message, sensible or not.
fn anything(dice: &mut Dice) -> Message {
    let request = u32::try_from(dice.below(2_000)).expect("small");
    let id = EntryId([u8::try_from(dice.below(3)).expect("small"); 32]);
    let bytes = vec![u8::try_from(dice.below(256)).expect("small"); 300];
    let entries = vec![bytes.clone(); usize::try_from(dice.below(3)).expect("small") + 1];
    let far = [0, 1, 2, u64::MAX][usize::try_from(dice.below(4)).expect("small")];
    let more = dice.percent(50);
    let want = |want| Message::Want { request, want };
    let answer = |answer| Message::Answer { request, answer };
    match dice.below(23) {
        0 | 1 => Message::Hello(Hello {
            standing: standing(far),
            wall: far,
        }),
        2 => Message::Standing(standing(far)),
        3 => Message::Push {
            entries,
            forwarded: more,
        },
        4 => Message::Have {
            ids: (0..dice.below(16_000))
                .map(|n| {
                    let mut id = [7; 32];
                    id[..8].copy_from_slice(&(n ^ dice.next()).to_le_bytes());
                    EntryId(id)
                })
                .chain([id])
                .collect(),
        },
        5 => Message::Prune,
        6 => Message::Cut { bytes },
        7 => want(Want::Cut { height: far }),
        8 => want(Want::Segments {
            height: far,
            from: u32::MAX,
        }),
        9 => want(Want::Beyond {
            chains: vec![ChainTip {
                author: DeviceKey([9; 32]),
                epoch: far,
                next_seq: far,
            }],
        }),
        10 => want(Want::Ids { from: u32::MAX }),
        11 => want(Want::Entries {
            ids: vec![id],
            graft: more,
        }),
        12 => want(Want::Introduction {
            cut: None,
            page: u32::MAX,
        }),
        13 => want(Want::Blob {
            hash: BlobHash([1; 32]),
            offset: far,
        }),
        14 => answer(Answer::Nothing),
        19 => want(Want::Body {
            entry: id,
            offset: u32::MAX,
        }),
        15 => answer(Answer::Segments {
            segments: vec![SegmentPage {
                height: far,
                cut: bytes,
                entries,
                complete: more,
            }],
        }),
        16 => answer(Answer::Beyond {
            entries,
            more,
            heads: vec![id],
        }),
        17 => answer(Answer::Ids {
            ids: vec![id],
            more,
        }),
        18 => answer(Answer::Entries { entries, more }),
        20 => want(Want::Reconcile {
            ranges: ranges(id, far),
        }),
        21 => answer(Answer::Reconcile {
            ranges: ranges(id, far),
            heads: vec![id],
        }),
        _ => answer(Answer::Blob { total: far, bytes }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_talk_panics(seed: u64, member: bool) {
        let mut mesh = Mesh::new(seed, 2, 1, b"module");
        mesh.write(0, vec![1]);
        mesh.peers[0].held.wanted.insert(BlobHash([1; 32]), Vec::new());
        let remote = if member { mesh.device(1) } else { secret(66).public() };
        let now = mesh.now();
        mesh.peers[0].open(now, remote);
        let mut dice = Dice(seed);
        for _ in 0..100 {
            mesh.now.0 += dice.below(3_000_000);
            let now = mesh.now();
            // Whoever takes a cut for granted must have checked it: the test's peer does not.
            let message = match anything(&mut dice) {
                Message::Answer { answer: Answer::Segments { .. }, request } => {
                    Message::Answer { request, answer: Answer::Nothing }
                }
                other => other,
            };
            mesh.peers[0].tell(now, remote, ConversationInput::Received(message));
            mesh.peers[0].tell(now, remote, ConversationInput::Wake);
            let kept = mesh.peers[0].links[&remote].remembered();
            prop_assert!(kept <= super::super::Conversation::REMEMBERED_MAX);
        }
    }
}

/// The questions that a step asked.
fn asked(effects: &[ConversationEffect]) -> Vec<(u32, Want)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            ConversationEffect::Send(Message::Want { request, want }) => {
                Some((*request, want.clone()))
            }
            _ => None,
        })
        .collect()
}

fn reported(effects: &[ConversationEffect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, ConversationEffect::Misbehaved(_)))
}

#[test]
fn an_answer_to_another_question_ends_the_questions_until_the_next_round() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (now, remote) = (mesh.now(), mesh.device(1));
    mesh.peers[0].open(now, remote);
    let peer = &mut mesh.peers[0];
    let mut link = peer.links.remove(&remote).expect("open");
    let hello = Message::Hello(Hello {
        standing: standing(9),
        wall: 0,
    });
    let effects = link.step(now, ConversationInput::Received(hello), &peer.held);
    let (request, want) = asked(&effects).remove(0);
    assert_eq!(want, Want::Segments { height: 1, from: 0 });
    for wrong in [
        Answer::Ids {
            ids: Vec::new(),
            more: true,
        },
        Answer::Nothing,
    ] {
        let answer = Message::Answer {
            request,
            answer: wrong,
        };
        let effects = link.step(now, ConversationInput::Received(answer), &peer.held);
        assert_eq!(asked(&effects), [], "and it does not ask at once again");
    }
}

#[test]
fn segments_that_never_end_or_jump_are_refused() {
    let page = |height, complete, entries: usize| SegmentPage {
        height,
        cut: vec![1],
        entries: vec![vec![0; 300]; entries],
        complete,
    };
    for segments in [
        vec![page(1, false, 0)],
        vec![page(1, false, 1), page(2, true, 1)],
        vec![page(1, true, 1), page(3, true, 1)],
        vec![page(2, true, 1)],
    ] {
        let mut mesh = Mesh::new(1, 2, 0, b"");
        let (now, remote) = (mesh.now(), mesh.device(1));
        mesh.peers[0].open(now, remote);
        let peer = &mut mesh.peers[0];
        let mut link = peer.links.remove(&remote).expect("open");
        let hello = Message::Hello(Hello {
            standing: standing(9),
            wall: 0,
        });
        let effects = link.step(now, ConversationInput::Received(hello), &peer.held);
        let (request, _) = asked(&effects).remove(0);
        let answer = Message::Answer {
            request,
            answer: Answer::Segments { segments },
        };
        let effects = link.step(now, ConversationInput::Received(answer), &peer.held);
        let handed = effects
            .iter()
            .any(|effect| matches!(effect, ConversationEffect::Segment { .. }));
        assert!(!handed);
    }
}

#[test]
fn unasked_answers_add_up_to_a_report_and_late_ones_do_not() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (now, remote) = (mesh.now(), mesh.device(1));
    mesh.peers[0].open(now, remote);
    let peer = &mut mesh.peers[0];
    let mut link = peer.links.remove(&remote).expect("open");
    let mut hear = |request| {
        let answer = Message::Answer {
            request,
            answer: Answer::Nothing,
        };
        let effects = link.step(now, ConversationInput::Received(answer), &peer.held);
        reported(&effects)
    };
    assert!(
        !(0..100).any(|_| hear(0)),
        "an answer of the past is no fault"
    );
    assert!((0..100).any(|_| hear(u32::MAX)));
}

#[test]
fn questions_and_signatures_are_rationed() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (now, remote) = (mesh.now(), mesh.device(1));
    mesh.peers[0].open(now, remote);
    let peer = &mut mesh.peers[0];
    let mut link = peer.links.remove(&remote).expect("open");
    let mut answers = 0;
    let mut reports = 0;
    for _ in 0..2 * QUESTIONS_AT_ONCE {
        let question = Message::Want {
            request: 1,
            want: Want::Ids { from: 0 },
        };
        let effects = link.step(now, ConversationInput::Received(question), &peer.held);
        let answered = |effect: &&ConversationEffect| {
            matches!(effect, ConversationEffect::Send(Message::Answer { .. }))
        };
        answers += effects.iter().filter(answered).count() as u64;
        reports += u64::from(reported(&effects));
    }
    assert_eq!(answers, QUESTIONS_AT_ONCE);
    assert!(reports > 0);

    let cut = &peer.held.history.cuts[0];
    let mut draft = crate::cut::CutDraft {
        database: peer.database,
        term: Term::FIRST,
        height: 5,
        parent: cut.id(),
        engine: 1,
        frontier: cut.frontier.clone(),
        order_root: cut.order_root,
        state_root: cut.state_root,
        finalisers: cut.finalisers.clone(),
    };
    let mut handed = 0;
    for height in 0..2 * SIGNED_AT_ONCE {
        draft.height = 5 + height;
        let forged = crate::cut::Cut::seal(draft.clone(), &secret(66)).expect("sealed");
        let bytes = forged.encoded().to_vec();
        let message = Message::Cut { bytes };
        let effects = link.step(now, ConversationInput::Received(message), &peer.held);
        let cut = |effect: &&ConversationEffect| matches!(effect, ConversationEffect::Cut(_));
        handed += effects.iter().filter(cut).count() as u64;
    }
    assert_eq!(handed, SIGNED_AT_ONCE);
}

#[test]
fn pushes_are_rationed_on_both_sides_and_far_too_many_reported() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (now, remote) = (mesh.now(), mesh.device(1));
    mesh.peers[0].open(now, remote);
    let peer = &mut mesh.peers[0];
    let mut link = peer.links.remove(&remote).expect("open");
    let (mut handed, mut reports) = (0, 0);
    let entries = vec![vec![7; 300]; 256];
    let per_message = entries.len() as u64;
    for _ in 0..=2 * PUSHED_TIMES * PUSHED_AT_ONCE / per_message {
        let push = Message::Push {
            entries: entries.clone(),
            forwarded: false,
        };
        let effects = link.step(now, ConversationInput::Received(push), &peer.held);
        for effect in &effects {
            if let ConversationEffect::Entries(entries) = effect {
                handed += entries.len() as u64;
            }
        }
        reports += u64::from(reported(&effects));
    }
    assert_eq!(handed, PUSHED_TIMES * PUSHED_AT_ONCE);
    assert!(reports > 0, "nobody who keeps to the rules comes so far");
}
