//! Clients that published an upgrade wait for the cut that judges it, within a bound.

use sync_protocol::{Position, Tick};

use super::judge::{Judged, Verdict};
use super::rows::PublishOutcome;
use crate::effect::{Effect, NoteLevel};
use crate::error::{Stop, refuse};
use crate::limits::PUBLISH_WAIT_MS;
use crate::replica::{Context, Replica};
use crate::reply::{ErrorKind, Published, Reply, Upgraded};
use crate::request::RequestId;

/// Note in the log: why the last refused publish was refused, its position first. The texts are
/// for people, so they are no row.
const REFUSAL_NOTE: &str = "upgrade:refusal";

/// A client that waits for a publish to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    pub(crate) id: RequestId,
    position: Position,
    until: Tick,
}

impl Replica {
    /// A publish has run at its position: its client waits for the cut now.
    pub(crate) fn wait_for_cut(&mut self, id: RequestId, position: Position, ctx: &Context<'_>) {
        self.publishers.push(Publisher {
            id,
            position,
            until: ctx.now.tick.plus_ms(PUBLISH_WAIT_MS),
        });
    }

    /// When the next client has waited long enough.
    pub(crate) fn publishers_due(&self) -> Option<Tick> {
        self.publishers.iter().map(|waits| waits.until).min()
    }

    /// Tells those who have waited long enough that it goes on without them.
    pub(crate) fn answer_late_publishers(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now.tick;
        let (late, waiting) = std::mem::take(&mut self.publishers)
            .into_iter()
            .partition(|publisher: &Publisher| publisher.until <= now);
        self.publishers = waiting;
        for publisher in late {
            let upgraded = Upgraded {
                effective: None,
                steps: Vec::new(),
            };
            self.answer_publisher(&publisher, Some(upgraded), ctx);
        }
    }

    fn answer_publisher(
        &self,
        publisher: &Publisher,
        upgraded: Option<Upgraded>,
        ctx: &mut Context<'_>,
    ) {
        ctx.effects.push(Effect::Reply {
            id: publisher.id,
            reply: Ok(Reply::Published(Published {
                database: self.id,
                name: self.name.clone(),
                created: false,
                recovery_key: None,
                upgraded,
            })),
        });
    }

    /// Tells everybody here what a cut made of its publishes: the clients that wait, and the
    /// peer's own log.
    pub(super) fn announce(&mut self, judged: &Judged, ctx: &mut Context<'_>) -> Result<(), Stop> {
        for verdict in &judged.verdicts {
            let name = &self.name;
            let (height, hash) = (verdict.row.height, verdict.row.new_module.module);
            let (level, text) = match (&verdict.result, verdict.row.outcome) {
                (Err(reasons), _) => {
                    let note = refusal(verdict.position(), reasons);
                    self.log.put_note(REFUSAL_NOTE, &note)?;
                    (
                        NoteLevel::Warn,
                        format!(
                            "cut {height} of {name} refused module {hash}: {}",
                            reasons.join("; ")
                        ),
                    )
                }
                (Ok(_), PublishOutcome::Unchanged) => continue,
                (Ok(steps), _) => (
                    NoteLevel::Info,
                    format!(
                        "from cut {height} on {name} runs module {hash}: {}",
                        if steps.all.is_empty() {
                            "its tables stay as they are".to_owned()
                        } else {
                            steps.all.join("; ")
                        }
                    ),
                ),
            };
            ctx.effects.push(Effect::Note { level, text });
        }
        for verdict in &judged.verdicts {
            self.answer_publisher_of(verdict, ctx);
        }
        Ok(())
    }

    /// What `init` logged, where its publish was made.
    pub(super) fn tell_console(&self, judged: &Judged, ctx: &mut Context<'_>) {
        let mut verdicts = judged.verdicts.iter().rev();
        let cleared = verdicts.find(|verdict| {
            verdict.row.new_module.clear && verdict.row.outcome == PublishOutcome::Accepted
        });
        if cleared.is_some_and(|verdict| verdict.position().author == ctx.device) {
            let lines = judged.console.iter().cloned();
            ctx.effects.extend(lines.map(|line| Effect::Console {
                database: self.id,
                line,
            }));
        }
    }

    fn answer_publisher_of(&mut self, verdict: &Verdict, ctx: &mut Context<'_>) {
        let is_it = |publisher: &Publisher| publisher.position == *verdict.position();
        let Some(at) = self.publishers.iter().position(is_it) else {
            return;
        };
        let publisher = self.publishers.remove(at);
        let height = verdict.row.height;
        match &verdict.result {
            Ok(_) if verdict.row.outcome == PublishOutcome::Unchanged => {
                self.answer_publisher(&publisher, None, ctx);
            }
            Ok(steps) => {
                let upgraded = Upgraded {
                    effective: Some(height),
                    steps: steps.all.clone(),
                };
                self.answer_publisher(&publisher, Some(upgraded), ctx);
            }
            Err(reasons) => ctx.effects.push(Effect::Reply {
                id: publisher.id,
                reply: Err(refuse(
                    ErrorKind::BadRequest,
                    format!("cut {height} refused the module:\n{}", reasons.join("\n")),
                )),
            }),
        }
    }

    /// Why the publish at `position` was refused, if it was the last.
    pub(super) fn refusal_note(&self, position: &Position) -> Result<Vec<String>, Stop> {
        let Some(note) = self.log.note(REFUSAL_NOTE)? else {
            return Ok(Vec::new());
        };
        let Some(text) = note.strip_prefix(&position.to_bytes()[..]) else {
            return Ok(Vec::new());
        };
        let text = String::from_utf8_lossy(text);
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn refusal(position: &Position, reasons: &[String]) -> Vec<u8> {
    [&position.to_bytes()[..], reasons.join("\n").as_bytes()].concat()
}
