//! What happens in the demo.

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::Patience;
use super::peers::{CHAT, Peer, Peers};
use super::screen::Screen;
use crate::cli::client::{database, segment};
use crate::cli::join::join;
use crate::cli::output::plain;

/// The module, compiled; its source is `examples/modules/chat`.
const CHAT_WASM: &[u8] = include_bytes!("../../../assets/chat.wasm");

/// Messages that each writes while one is cut off.
const MESSAGES_APART: i64 = 40;

/// What the account holds over which two of them fight.
const BALANCE: i64 = 1_000;

/// What each of the two takes from it: it is enough for one.
const AMOUNT: i64 = 700;

/// Tells the story; an error when the peers do not do what is told.
pub(super) fn tell(peers: &Peers, patience: &Patience, screen: &Screen) -> anyhow::Result<()> {
    let [ada, bob, cyd] = peers.all.as_slice() else {
        anyhow::bail!("the story needs three peers");
    };
    gather(ada, &[bob, cyd], screen)?;
    talk(&peers.all, patience, screen)?;
    part(ada, bob, cyd, patience, screen)?;
    screen.say("cyd is back");
    cyd.plug(true)?;
    let last = converge(&peers.all, patience, screen)?;
    settle(&peers.all, screen)?;
    screen.say("the state roots:");
    for (peer, status) in peers.all.iter().zip(&last) {
        screen.add(&format!("{}  {}", peer.name, plain(&status["state_root"])));
    }
    screen.finish();
    crate::cli::output::print_line("converged");
    Ok(())
}

/// One publishes, the others join.
fn gather(ada: &Peer, others: &[&Peer], screen: &Screen) -> anyhow::Result<()> {
    let path = format!("/v1/database/{}", segment(CHAT));
    let published = ada.client()?.put(&path, CHAT_WASM)?;
    screen.say(&format!(
        "ada publishes the chat module: database {}",
        plain(&published["Success"]["database_identity"])
    ));
    let invitation = json!({ "uses": others.len(), "role": "writer" });
    let invite = database(CHAT, "/invite");
    let answer = ada.client()?.post(&invite, &invitation)?;
    let ticket = plain(&answer["ticket"]);
    for peer in others {
        screen.live(format!("{} joins", peer.name));
        join(peer.client()?, &ticket, &ProgressBar::hidden())?;
        screen.say(&format!("{} joins with ada's ticket", peer.name));
    }
    Ok(())
}

/// Everybody calls reducers on the own peer, and everybody sees it.
fn talk(peers: &[Peer], patience: &Patience, screen: &Screen) -> anyhow::Result<()> {
    for peer in peers {
        peer.call("set_name", &json!([peer.name]))?;
        peer.call(
            "send_message",
            &json!(["lobby", format!("hello from {}", peer.name)]),
        )?;
    }
    peers[0].call("open_accounts", &json!([2]))?;
    let everywhere = i64::try_from(peers.len())?;
    for peer in peers {
        patience.until("everybody's words to arrive", || {
            let here = peer.number("SELECT COUNT(*) AS n FROM message")?;
            let accounts = peer.number("SELECT COUNT(*) AS n FROM account")?;
            Ok((here == everywhere && accounts == 2).then_some(()))
        })?;
    }
    screen.say("each says hello on its own peer; all three see three messages");
    Ok(())
}

/// Cyd is cut off, and all go on.
fn part(
    ada: &Peer,
    bob: &Peer,
    cyd: &Peer,
    patience: &Patience,
    screen: &Screen,
) -> anyhow::Result<()> {
    cyd.plug(false)?;
    screen.say("cyd is cut off; all keep writing");
    patience.check("the writers")?;
    std::thread::scope(|scope| {
        let writers = [ada, bob, cyd].map(|peer| scope.spawn(move || write_apart(peer)));
        writers.into_iter().try_for_each(|writer| {
            let broke = |_| Err(anyhow::anyhow!("a writer broke; please report this"));
            writer.join().unwrap_or_else(broke)
        })
    })?;
    // Two conflicts that nobody can see before they meet again.
    for peer in [bob, cyd] {
        peer.call("set_name", &json!(["neptune"]))?;
    }
    screen.add("bob and cyd both take the name \"neptune\", which is unique: each is told yes");
    for peer in [ada, cyd] {
        peer.call("transfer", &json!([0, 1, AMOUNT]))?;
    }
    screen.add(&format!(
        "ada and cyd both move {AMOUNT} out of an account that holds {BALANCE}: each is told yes"
    ));
    patience.until("ada and bob to agree", || {
        Ok(agree(&[&ada.status()?, &bob.status()?]).then_some(()))
    })?;
    for peer in [ada, bob, cyd] {
        screen.add(&format!(
            "{}  {} messages, neptune is {}, root {}…",
            peer.name,
            peer.number("SELECT COUNT(*) AS n FROM message")?,
            neptune(peer, &[ada, bob, cyd])?,
            plain(&peer.status()?["state_root"])
                .get(..16)
                .unwrap_or_default(),
        ));
    }
    Ok(())
}

fn write_apart(peer: &Peer) -> anyhow::Result<()> {
    for n in 1..=MESSAGES_APART {
        let text = format!("{} writes message {n}", peer.name);
        peer.call("send_message", &json!(["lobby", text]))?;
    }
    Ok(())
}

/// Waits until all hold the same, byte for byte.
fn converge(peers: &[Peer], patience: &Patience, screen: &Screen) -> anyhow::Result<Vec<Value>> {
    let messages = i64::try_from(peers.len())? * (1 + MESSAGES_APART);
    patience.until("the three to converge", || {
        let mut all = Vec::new();
        let mut counts = Vec::new();
        for peer in peers {
            counts.push(peer.number("SELECT COUNT(*) AS n FROM message")?);
            all.push(peer.status()?);
        }
        let shown: Vec<String> = peers
            .iter()
            .zip(&counts)
            .map(|(peer, count)| format!("{} {count}/{messages}", peer.name))
            .collect();
        screen.live(format!("messages: {}", shown.join(", ")));
        let complete = counts.iter().all(|&count| count == messages);
        let same = complete && agree(&all.iter().collect::<Vec<_>>());
        Ok(same.then_some(all))
    })
}

/// What the one order decided.
fn settle(peers: &[Peer], screen: &Screen) -> anyhow::Result<()> {
    let all: Vec<&Peer> = peers.iter().collect();
    screen.say(&format!(
        "all hold the same {} messages; the one order decided:",
        peers[0].number("SELECT COUNT(*) AS n FROM message")?
    ));
    screen.add(&format!(
        "neptune is {}, and account 0 holds {}: one of each two was too late",
        neptune(&peers[0], &all)?,
        peers[0].number("SELECT balance FROM account WHERE id = 0")?
    ));
    Ok(())
}

/// Whether the visible states and the entries behind them are the same.
fn agree(statuses: &[&Value]) -> bool {
    let same = |key: &str| {
        statuses
            .windows(2)
            .all(|pair| pair[0][key] == pair[1][key] && pair[0][key].is_string())
    };
    same("state_root") && same("heads_hash")
}

/// Who is called neptune, as one peer sees it.
fn neptune(at: &Peer, who: &[&Peer]) -> anyhow::Result<String> {
    let rows = at.sql("SELECT name, identity FROM user")?;
    let holder = rows
        .iter()
        .find(|row| row.first().is_some_and(|name| name == "neptune"))
        .and_then(|row| row.get(1));
    let Some(holder) = holder else {
        return Ok("nobody".to_owned());
    };
    for peer in who {
        let identity = plain(&peer.client()?.get("/v1/peer")?["identity"]);
        if !identity.is_empty() && holder.contains(&identity) {
            return Ok(peer.name.to_owned());
        }
    }
    Ok(holder.clone())
}
