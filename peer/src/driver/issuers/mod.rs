//! Tokens of OpenID Connect providers, as clients bring them.
//!
//! Whose tokens count, for whom they have to be and with which keys they are checked are rows of the
//! database. Providers change their keys, so this peer also asks those of them that a row trusts, and
//! no others: a token is read only to learn its issuer's name, and a name that no row knows is the end
//! of it. Keys that have changed are written down by peers whose role allows it.

pub(crate) mod discovery;
pub(crate) mod fetch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use peer_core::{
    CheckedToken, Claims, IssuerInfo, Reply, Request, RequestError, TokenFault, check_bearer,
    issuer_named,
};
use sync_protocol::{DeviceKey, IssuerKey};
use tokio::sync::{Mutex as TurnMutex, watch};
use tokio::time::sleep;

use self::discovery::DiscoveryError;
use super::core_thread::Mailbox;
use super::tokens::{Bearer, TokenError};

/// Time between two questions to one provider, whatever tokens come.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// Time after which the keys of trusted issuers are asked for anew, unless a token asks earlier.
const REFRESH_EVERY: Duration = Duration::from_secs(3_600);

/// How soon after the start they are asked for first.
const FIRST_AFTER: Duration = Duration::from_secs(2);

/// What is known of one issuer besides its rows.
#[derive(Clone, Default)]
struct Known {
    /// Its keys as it last told them.
    keys: Arc<Vec<IssuerKey>>,
    /// How often it has told them.
    told: u64,
    /// When it was last asked.
    asked: Option<Instant>,
    /// Held by whoever asks it: others wait for the answer instead of asking too. Nobody else waits.
    turn: Arc<TurnMutex<()>>,
}

/// The tokens of all issuers that some database here trusts.
pub(crate) struct Issuers {
    mailbox: Mailbox,
    device: Arc<Claims>,
    /// By issuer; only those that a row trusts.
    known: Mutex<BTreeMap<String, Known>>,
}

/// Why an issuer is asked for its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A token has a key that nobody here knows.
    Token,
    /// It is time to.
    Time,
}

impl Issuers {
    /// For this device.
    pub(crate) fn new(mailbox: Mailbox, device: &DeviceKey) -> Self {
        Self {
            mailbox,
            device: Arc::new(Claims::of_device(device)),
            known: Mutex::default(),
        }
    }

    /// Whose token this is, if it is good at `now_s`, in a database, or in any of those here.
    ///
    /// # Errors
    /// [`TokenError`], which a client may read.
    pub(crate) async fn bearer(
        &self,
        database: Option<&str>,
        token: &str,
        now_s: u64,
    ) -> Result<Bearer, TokenError> {
        let issuer = issuer_named(token).map_err(TokenError::Fault)?;
        let trusting = self.trusting(database, &issuer).await?;
        if trusting.is_empty() {
            return Err(TokenError::Untrusted);
        }
        let known = self.known(&issuer);
        let mut checked = check(token, &trusting, &known.keys, now_s);
        // Its issuer may have changed its keys.
        if checked == Err(TokenFault::UnknownKey)
            && self.refresh(&issuer, known.told, Why::Token).await == Ok(true)
        {
            checked = check(token, &trusting, &self.known(&issuer).keys, now_s);
        }
        match checked {
            Ok(checked) => Ok(bearer_of(issuer, checked, token)),
            Err(fault) => Err(TokenError::Fault(fault)),
        }
    }

    /// Asks an issuer for its keys, unless another token made this peer ask a moment ago, and writes them
    /// down where that is to be done. True: they are newer than those that it told as the `seen`th.
    ///
    /// # Errors
    /// [`DiscoveryError`], which is in the log.
    async fn refresh(&self, issuer: &str, seen: u64, why: Why) -> Result<bool, DiscoveryError> {
        // So that all who ask wait for the same turn.
        self.change(issuer, |_| {});
        let turn = self.known(issuer).turn;
        let _turn = turn.lock().await;
        let known = self.known(issuer);
        if known.told != seen {
            return Ok(true);
        }
        // Anybody can make up a token with a key that nobody knows.
        if why == Why::Token {
            if known.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
                return Ok(false);
            }
            self.change(issuer, |known| known.asked = Some(Instant::now()));
        }
        let keys = fetched(issuer).await.inspect_err(|error| {
            tracing::warn!("the keys of {issuer} cannot be fetched: {error}");
        })?;
        self.take(issuer, keys).await;
        Ok(true)
    }

    /// Takes keys that somebody has just fetched. That is no reason to let a token with a newer one
    /// wait.
    pub(crate) async fn take(&self, issuer: &str, keys: Vec<IssuerKey>) {
        self.change(issuer, |known| {
            known.keys = Arc::new(keys.clone());
            known.told += 1;
        });
        self.write_down(issuer, keys).await;
    }

    /// In each database that has others and lets this peer say so. The core makes no call of what is
    /// there already.
    async fn write_down(&self, issuer: &str, keys: Vec<IssuerKey>) {
        let Ok(trusting) = self.trusting(None, issuer).await else {
            return;
        };
        let outdated = trusting
            .into_iter()
            .filter(|info| info.may_set_keys && info.keys != keys);
        for info in outdated {
            let request = Request::SetIssuerKeys {
                database: info.database.to_string(),
                issuer: issuer.to_owned(),
                keys: keys.clone(),
            };
            if let Err(error) = self.ask(request).await {
                tracing::warn!("the keys of {issuer} are not written down: {error}");
            }
        }
    }

    /// Keeps the keys of trusted issuers up to date, until the peer stops: here, and in the rows where
    /// this peer may write them.
    pub(crate) async fn keep_fresh(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut wait = FIRST_AFTER;
        loop {
            tokio::select! {
                () = sleep(wait) => {}
                _ = stopping.wait_for(|stops| *stops) => return,
            }
            wait = REFRESH_EVERY;
            let Ok(Reply::Issuers(all)) = self.ask(Request::Issuers { database: None }).await
            else {
                continue;
            };
            self.forget_others(&all);
            // Whoever may not write keys down asks when a token needs it.
            for info in all.iter().filter(|info| info.may_set_keys) {
                let seen = self.known(&info.rules.issuer).told;
                let _ = self.refresh(&info.rules.issuer, seen, Why::Time).await;
            }
        }
    }

    fn forget_others(&self, trusted: &[IssuerInfo]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|issuer, _| trusted.iter().any(|info| info.rules.issuer == *issuer));
    }

    fn known(&self, issuer: &str) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(issuer).cloned().unwrap_or_default()
    }

    fn change(&self, issuer: &str, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(known.entry(issuer.to_owned()).or_default());
    }

    /// The databases that trust an issuer, of one or of all.
    async fn trusting(
        &self,
        database: Option<&str>,
        issuer: &str,
    ) -> Result<Vec<IssuerInfo>, TokenError> {
        let request = Request::IssuersNamed {
            database: database.map(str::to_owned),
            issuer: issuer.to_owned(),
        };
        match self.ask(request).await? {
            Reply::Issuers(infos) => Ok(infos),
            _ => Ok(Vec::new()),
        }
    }

    async fn ask(&self, request: Request) -> Result<Reply, RequestError> {
        self.mailbox
            .request(Arc::clone(&self.device), true, request)
            .await
    }
}

/// The keys of an issuer, without keeping others waiting.
///
/// # Errors
/// [`DiscoveryError`], for a person to read.
pub(crate) async fn fetched(issuer: &str) -> Result<Vec<IssuerKey>, DiscoveryError> {
    let asked = issuer.to_owned();
    let fetched = tokio::task::spawn_blocking(move || fetch::keys(&asked)).await;
    fetched.unwrap_or_else(|error| {
        Err(DiscoveryError::Unreachable {
            url: issuer.to_owned(),
            why: error.to_string(),
        })
    })
}

/// Against the rows of each of those databases, with the issuer's keys of today beside them.
fn check(
    token: &str,
    trusting: &[IssuerInfo],
    told: &[IssuerKey],
    now_s: u64,
) -> Result<CheckedToken, TokenFault> {
    let mut fault = TokenFault::UnknownKey;
    for info in trusting {
        for keys in [&info.keys[..], told] {
            match check_bearer(token, &info.rules, keys, now_s) {
                Ok(checked) => return Ok(checked),
                // A key says more about a token than that there is none.
                Err(TokenFault::UnknownKey) => {}
                Err(other) => fault = other,
            }
        }
    }
    Err(fault)
}

fn bearer_of(issuer: String, checked: CheckedToken, token: &str) -> Bearer {
    Bearer {
        claims: Arc::new(Claims {
            issuer,
            subject: checked.subject,
            payload: checked.payload,
        }),
        token: token.to_owned(),
    }
}
