//! A running peer, from the lock on its directory to the last flush.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use module_host::Backend;
use peer_core::{Core, CoreOptions, MemoryBudget, Modules};
use store::DirDisk;
use sync_protocol::SecretKey;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::api::{self, Api};
use super::clock::{Clock, dice, wall_s};
use super::config::Config;
use super::console::Consoles;
use super::core_thread::{self, Mail, Mailbox};
use super::data_dir::{DataDir, RunInfo};
use super::issuers::Issuers;
use super::machine_memory;
use super::network::Network;
use super::open_files;
use super::server;
use super::tokens::Tokens;

/// How long the core may take to flush. With what follows it stays below the two seconds that a
/// stop is promised to take; what was acknowledged is on disk in any case.
const FLUSH_WAIT: Duration = Duration::from_millis(1_400);

/// How long clients may take to read their last answers.
const LAST_ANSWERS_WAIT: Duration = Duration::from_millis(300);

/// How long the first listen addresses may take to come.
const LISTEN_WAIT: Duration = Duration::from_secs(5);

/// Runs a peer until a signal, or until a part of it breaks.
///
/// # Errors
/// One sentence for the person, with the next step.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(serve(config));
    // Whatever still hangs on a socket does not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn serve(config: Config) -> anyhow::Result<()> {
    open_files::raise();
    let interrupted = interruption(config.until_stdin_closes)?;
    let data_dir = Arc::new(DataDir::open(&config.data_dir)?);
    let secret = data_dir.peer_key()?;
    data_dir.shut_store()?;
    let clock = Clock::start();
    let secured = server::secure(&config, &data_dir, wall_s())?;
    let listener = listen(config.listen).await?;
    let scheme = if secured.is_some() { "https" } else { "http" };
    let http = format!("{scheme}://{}", listener.local_addr()?);
    if secured.is_none() && !config.listen.ip().is_loopback() {
        tracing::warn!("{http} is not encrypted: tokens and rows can be read on their way");
    }
    let (mailbox, mail) = Mailbox::new();
    let (stop_network, network_stops) = oneshot::channel();
    let mut network = Network::start(&config, &secret, mailbox.clone(), clock, network_stops)
        .map_err(|why| anyhow!(why))?;
    let consoles = Consoles::start(config.data_dir.join("databases"))
        .context("cannot start the console thread")?;
    let mut core = core_thread::start(
        open_core(&config, &secret, clock),
        clock,
        mail,
        network.network.clone(),
        consoles,
    )
    .context("cannot start the core's thread")?;
    tokio::pin!(interrupted);
    let opened = tokio::select! {
        opened = core.opened => opened
            .unwrap_or_else(|_| Err(core_broke()))
            .map_err(|why| anyhow!(why))?,
        // Opening may run a long tail again; nothing of it needs to be kept.
        _ = &mut interrupted => return Ok(()),
    };
    tracing::info!("opened in {} ms", opened.as_millis());

    let tokens = Arc::new(Tokens::new(&secret));
    data_dir.write_owner_token(&tokens.owner(wall_s())?.token)?;
    let p2p = first_addresses(&mut network.listening).await?;
    let run_info = RunInfo {
        pid: std::process::id(),
        http,
        certificate: secured.as_ref().map(|it| it.fingerprint.clone()),
        p2p,
        device_key: secret.public().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    data_dir.write_run_info(&run_info)?;
    announce(&run_info, &tokens, &data_dir);
    let (run_sender, run) = watch::channel(run_info);
    let run_info_keeper = tokio::spawn(keep_run_info(
        network.listening.clone(),
        run_sender,
        Arc::clone(&data_dir),
    ));

    let (stopping, stops) = watch::channel(false);
    let issuers = Arc::new(Issuers::new(mailbox.clone(), &secret.public()));
    let keys_keeper = tokio::spawn(Arc::clone(&issuers).keep_fresh(stops.clone()));
    let api = Arc::new(Api {
        mailbox: mailbox.clone(),
        tokens,
        issuers,
        network: network.network.clone(),
        data_dir: Arc::clone(&data_dir),
        opened,
        run,
        stopping: stops.clone(),
    });
    let mut server = tokio::spawn(server::serve(
        listener,
        secured.map(|it| it.acceptor),
        api::router(api, &config),
        stops,
    ));

    let result = tokio::select! {
        why = &mut interrupted => {
            tracing::info!("stopping: {why}");
            Ok(())
        }
        _ = &mut core.ended => Err(anyhow!(core_broke())),
        _ = &mut server => Err(anyhow!("the HTTP side ended by itself; please report this")),
        _ = &mut network.task => Err(anyhow!("the network ended by itself; please report this")),
    };

    // Whoever reads run.json from here on is told that nobody runs here, which is about to be so.
    run_info_keeper.abort();
    keys_keeper.abort();
    data_dir.remove_run_info();
    let _ = stopping.send(true);
    let _ = stop_network.send(());
    let _ = timeout(FLUSH_WAIT, async {
        if mailbox.send(Mail::Stop).await {
            let _ = core.ended.await;
        }
    })
    .await;
    let _ = timeout(LAST_ANSWERS_WAIT, server).await;
    result
}

/// What opens the core, inside its thread.
fn open_core(
    config: &Config,
    secret: &SecretKey,
    clock: Clock,
) -> impl FnOnce() -> Result<Core, String> + Send + use<> {
    let data_dir = config.data_dir.clone();
    let mut memory =
        machine_memory::bytes().map_or_else(MemoryBudget::default, MemoryBudget::of_machine);
    if let Some(caches_bytes) = config.caches_bytes {
        memory.caches_bytes = caches_bytes;
    }
    let secret = SecretKey::from_bytes(&secret.to_bytes());
    let backend = if config.interpreter {
        Backend::Pulley
    } else {
        Backend::default()
    };
    move || {
        let modules = Modules::with(backend).map_err(|error| error.to_string())?;
        let disk = DirDisk::open(&data_dir).map_err(|error| error.to_string())?;
        let mut options = CoreOptions::new(u64::from_le_bytes(dice()));
        options.memory = memory;
        Core::open_sharing(modules, Box::new(disk), secret, &options, clock.now())
            .map_err(|error| error.to_string())
    }
}

fn core_broke() -> String {
    "the core broke, which is a bug: the lines above say where; what was acknowledged is on disk, \
     start the peer again"
        .to_owned()
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow!("cannot listen on {address}: {error}; choose another with --listen, for example --listen 127.0.0.1:0")
    })
}

/// The first addresses that other peers can reach us at.
async fn first_addresses(
    listening: &mut watch::Receiver<Vec<String>>,
) -> anyhow::Result<Vec<String>> {
    let some = listening.wait_for(|addresses| !addresses.is_empty());
    match timeout(LISTEN_WAIT, some).await {
        Ok(Ok(addresses)) => Ok(addresses.clone()),
        Ok(Err(_)) => bail!("the network ended by itself; please report this"),
        Err(_) => bail!(
            "no address to listen on came up: give one with --p2p, for example --p2p /ip4/127.0.0.1/tcp/0"
        ),
    }
}

/// Writes run.json anew whenever addresses come or go.
async fn keep_run_info(
    mut listening: watch::Receiver<Vec<String>>,
    run: watch::Sender<RunInfo>,
    data_dir: Arc<DataDir>,
) {
    while listening.changed().await.is_ok() {
        let p2p = listening.borrow_and_update().clone();
        if run.borrow().p2p == p2p {
            continue;
        }
        run.send_modify(|run| run.p2p = p2p);
        let now = run.borrow().clone();
        if let Err(error) = data_dir.write_run_info(&now) {
            tracing::warn!("{error}");
        }
    }
}

/// Says where the peer is, for the person at the terminal.
fn announce(run: &RunInfo, tokens: &Tokens, data_dir: &DataDir) {
    let mut text = format!(
        "tombolo {}\n  peer      {}\n  data      {}\n  http      {}\n",
        run.version,
        tokens.did(),
        data_dir.path().display(),
        run.http
    );
    if let Some(fingerprint) = &run.certificate {
        text.push_str(&format!("  tls       SHA-256 {fingerprint}\n"));
    }
    for address in &run.p2p {
        text.push_str(&format!("  p2p       {address}\n"));
    }
    text.push_str("ready; stop with Ctrl-C\n");
    // Somebody may have closed the other end; a peer runs on without being listened to.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Ends when somebody wants the peer to stop, and says who.
fn interruption(until_stdin_closes: bool) -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    // Not SIGHUP: whoever starts a peer with nohup wants it to stay, and a handler would undo that.
    let (closed, is_closed) = oneshot::channel();
    if until_stdin_closes {
        // A thread, not a task: a read of standard input cannot be given up, and would keep the
        // runtime from ending.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = closed.send(());
        });
    }
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "interrupted",
            _ = terminate.recv() => "terminated",
            _ = is_closed, if until_stdin_closes => "the parent is gone",
        }
    })
}
