use super::*;
use crate::state::Claim;

fn who(digit: char) -> Identity {
    Identity::parse(&digit.to_string().repeat(64)).expect("an identity")
}

fn call(name: &str) -> CallId {
    CallId(name.to_owned())
}

fn job(number: u32, claimed_by: Option<char>) -> Job {
    Job {
        number,
        task: "water".to_owned(),
        seconds: 3,
        asked_us: 0,
        claim: claimed_by.map(|digit| Claim {
            actuator: who(digit),
            since_us: 0,
        }),
    }
}

fn seen(second: i64, jobs: &[Job]) -> Seen {
    Seen {
        now_us: second * 1_000_000,
        jobs: jobs.to_vec(),
        fates: BTreeMap::new(),
        away_s: 30,
    }
}

fn fate(mut seen: Seen, name: &str, fate: Fate) -> Seen {
    seen.fates.insert(call(name), fate);
    seen
}

/// What it says, and what it does besides saying so and being here.
fn acts(steps: Vec<Step>) -> (String, Vec<Step>) {
    let mut said = Vec::new();
    let mut acts = Vec::new();
    for step in steps {
        match step {
            Step::Say(text) => said.push(text),
            Step::Here => {}
            other => acts.push(other),
        }
    }
    (said.join("; "), acts)
}

#[test]
fn it_takes_a_free_job_and_finishes_it_in_its_time() {
    let mut duty = Duty::new(who('a'), false);
    let jobs = [job(1, Some('b')), job(2, None)];
    assert_eq!(acts(duty.next(&seen(0, &jobs))).1, [Step::Claim(2)]);
    duty.claimed(2, call("claim"), &seen(0, &jobs));
    let mine = [job(2, Some('a'))];
    assert_eq!(acts(duty.next(&seen(2, &mine))).1, []);
    assert_eq!(acts(duty.next(&seen(3, &mine))).1, [Step::Finish(2)]);
    // The peer did not answer: once more.
    assert_eq!(acts(duty.next(&seen(4, &mine))).1, [Step::Finish(2)]);
    duty.finished(2, call("finish"));
    assert_eq!(duty.calls(), [call("finish")]);
    let settled = fate(seen(5, &[]), "finish", Fate::Final);
    assert_eq!(
        acts(duty.next(&settled)).0,
        "job 2: final, this device did it"
    );
    assert_eq!(duty.calls(), []);
}

#[test]
fn whoever_must_be_sure_begins_when_the_claim_is_final() {
    let mut duty = Duty::new(who('a'), true);
    let mine = [job(2, Some('a'))];
    duty.claimed(2, call("claim"), &seen(0, &mine));
    assert_eq!(duty.calls(), [call("claim")]);
    let open = fate(seen(60, &mine), "claim", Fate::Open);
    assert_eq!(acts(duty.next(&open)), (String::new(), vec![]));
    let settled = fate(seen(61, &mine), "claim", Fate::Final);
    assert!(acts(duty.next(&settled)).0.contains("water (3 s)"));
    assert_eq!(acts(duty.next(&seen(63, &mine))).1, []);
    assert_eq!(acts(duty.next(&seen(64, &mine))).1, [Step::Finish(2)]);
}

#[test]
fn it_stops_when_the_job_is_somebody_elses_or_gone() {
    let to_b = Step::Lost {
        job: 2,
        to: who('b'),
    };
    for (now, why, lost) in [
        (vec![job(2, Some('b'))], "", vec![to_b]),
        (vec![job(2, None)], "was silent", vec![Step::Claim(2)]),
        (vec![], "done or cancelled", vec![]),
    ] {
        for sure in [false, true] {
            let mut duty = Duty::new(who('a'), sure);
            duty.claimed(2, call("claim"), &seen(0, &[job(2, Some('a'))]));
            let (said, acted) = acts(duty.next(&seen(1, &now)));
            assert!(said.contains(why), "{said}");
            assert_eq!(acted, lost);
            assert_eq!(duty.calls(), []);
        }
    }
}

#[test]
fn a_finished_job_that_somebody_else_had_first_is_told_as_void() {
    let mut duty = Duty::new(who('a'), false);
    duty.finished(2, call("finish"));
    assert_eq!(acts(duty.next(&seen(0, &[]))).0, "");
    let failed = Fate::Failed("job 2 was done by b".to_owned());
    let (said, _) = acts(duty.next(&fate(seen(1, &[]), "finish", failed)));
    assert!(
        said.contains("void") && said.contains("was done by b"),
        "{said}"
    );
}

#[test]
fn of_the_oldest_free_jobs_not_all_take_the_same() {
    let jobs: Vec<Job> = (0..20).map(|number| job(number, None)).collect();
    let mut taken = Vec::new();
    for digit in ['a', 'b', 'c', 'd'] {
        let own = Identity::parse(&format!("{digit}{}", "0".repeat(63))).expect("an identity");
        let (_, acted) = acts(Duty::new(own, false).next(&seen(0, &jobs)));
        taken.extend(acted);
    }
    let numbers = |step: &Step| matches!(step, Step::Claim(0..4));
    assert!(taken.iter().all(numbers), "{taken:?}");
    taken.dedup();
    assert_eq!(taken.len(), 4, "{taken:?}");
}

#[test]
fn whoever_is_refused_waits_longer_each_time() {
    let mut duty = Duty::new(who('a'), false);
    let jobs = [job(2, None)];
    let mut second = 0;
    for wait in [1, 2, 4, 8, 16, 16] {
        assert_eq!(acts(duty.next(&seen(second, &jobs))).1, [Step::Claim(2)]);
        duty.refused("no", &seen(second, &jobs));
        assert_eq!(acts(duty.next(&seen(second + wait - 1, &jobs))).1, []);
        second += wait;
    }
    duty.claimed(2, call("claim"), &seen(second, &jobs));
    duty.refused("no", &seen(second, &jobs));
    assert_eq!(
        acts(duty.next(&seen(second + 1, &jobs))).1,
        [Step::Claim(2)]
    );
}

#[test]
fn it_goes_on_with_the_job_of_an_earlier_life() {
    let mut duty = Duty::new(who('a'), false);
    let jobs = [job(1, None), job(2, Some('a'))];
    let (said, acted) = acts(duty.next(&seen(0, &jobs)));
    assert!(said.contains("from before"), "{said}");
    assert_eq!(acted, []);
    assert_eq!(acts(duty.next(&seen(3, &jobs))).1, [Step::Finish(2)]);
}

#[test]
fn it_is_heard_of_more_often_than_its_job_could_be_taken_away() {
    let mut duty = Duty::new(who('a'), false);
    let here = |steps: Vec<Step>| steps.contains(&Step::Here);
    assert!(here(duty.next(&seen(0, &[]))));
    assert!(!here(duty.next(&seen(9, &[]))));
    assert!(here(duty.next(&seen(10, &[]))));
    let mut long = job(2, Some('a'));
    long.seconds = 1_000;
    let mut at_work = seen(11, &[long]);
    at_work.away_s = 6;
    duty.claimed(2, call("claim"), &at_work);
    at_work.now_us += 1_999_999;
    assert!(!here(duty.next(&at_work)));
    at_work.now_us += 1;
    assert!(here(duty.next(&at_work)));
}

#[test]
fn finished_jobs_that_never_become_final_do_not_pile_up() {
    let mut duty = Duty::new(who('a'), false);
    for number in 0..200 {
        duty.finished(number, call(&number.to_string()));
    }
    assert_eq!(duty.calls().len(), UNSETTLED_MAX);
}
