//! Whether the judge notices mistakes that are made on purpose: for each, seeds are run until one is
//! caught.

use anyhow::Context as _;
use clap::Args;
use peer_core::Modules;
use plants::Plant;
use simulator::{Campaign, Market, Plan, Seed};

/// Which mistakes, and how many seeds each may take.
#[derive(Args)]
pub(crate) struct Planting {
    /// This mistake alone.
    #[arg(long)]
    only: Option<Plant>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seeds within which each has to be caught.
    #[arg(long, default_value_t = 200)]
    within: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

impl Planting {
    /// Prints for each mistake which seed caught it, and what the judge said. Whether all were.
    pub(crate) fn run(&self) -> anyhow::Result<bool> {
        let modules = Modules::new().context("wasm cannot be run on this machine")?;
        let market = Market::load()?;
        let mut missed = 0;
        let mut tried = 0;
        for plant in Plant::ALL {
            if self.only.is_some_and(|only| only != plant) {
                continue;
            }
            tried += 1;
            plants::plant(Some(plant));
            let campaign = Campaign {
                first: Plan::of(Seed(self.seed)),
                runs: self.within,
                jobs: self.jobs,
                file: None,
            };
            let (_, caught) = campaign.run(&modules, &market, |_, _| {})?;
            plants::plant(None);
            match caught {
                Some((plan, report)) => {
                    println!("{plant}: seed {}: {}", plan.seed.0, report.verdict);
                }
                None => {
                    missed += 1;
                    println!("{plant}: not caught within {} seeds", self.within);
                }
            }
            println!("    {}", plant.what());
        }
        println!("{} of {tried} were caught", tried - missed);
        Ok(missed == 0)
    }
}
