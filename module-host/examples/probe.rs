//! temporary
#![allow(missing_docs, clippy::all, clippy::disallowed_methods, clippy::unwrap_used, reason = "temporary")]
use module_host::*;
use store::*;
use sync_protocol::*;
use std::time::Instant;

fn state(module: &Module) -> State {
    let disk = MemoryDisk::default();
    let mut tables = module.def().tables.clone();
    State::open(disk.base(&DatabaseId([1; 32])).unwrap(), Schema::new(std::mem::take(&mut tables)).unwrap(), StateOptions::default()).unwrap()
}
fn call(r: &mut Runner, m: &Module, s: State, t: u64, name: &str, args: &[u8]) -> (State, Report) {
    let (reducer, _) = m.def().reducer_by_name(name).unwrap();
    let tx = s.begin(CallContext { position: Position { hlc: Hlc(t), author: DeviceKey([0; 32]), entry: EntryId([0; 32]), index: 0 }, time: Hlc(t) });
    let (tx, rep) = r.call(Call { reducer, sender: [7; 32], connection: ConnectionId([3; 16]), time: Hlc(t), args, claims: Some("{\"sub\":\"me\",\"iss\":\"x\"}"), database: [9; 32], units: 1_000_000_000 }, tx).unwrap();
    let s = if rep.outcome.is_ok() { tx.commit().0 } else { tx.abort() };
    (s, rep)
}
fn text(s: &str) -> Vec<u8> { let mut v = (s.len() as u32).to_le_bytes().to_vec(); v.extend(s.as_bytes()); v }
fn main() {
    let wasm = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let t0 = Instant::now();
    let e = HostEngine::new().unwrap();
    println!("engine {:?}", t0.elapsed());
    let t0 = Instant::now();
    let m = match Module::prepare(&e, &wasm, Limits::default()) { Ok(m) => m, Err(e) => { println!("{e}"); return } };
    println!("prepare {:?} keeps {}", t0.elapsed(), m.keeps_instance());
    for t in &m.def().tables { println!("{} {} pk {:?} auto {:?} ev {}", t.name, t.source_name, t.primary_key, t.auto_inc, t.event); for c in &t.columns { println!("   {} {} {:?}", c.name, c.source_name, c.ty); } for i in &t.indexes { println!("   {:?}", i); } }
    for r in &m.def().reducers { println!("{} {:?} {:?} {}", r.name, r.params.iter().map(|p| &p.0).collect::<Vec<_>>(), r.lifecycle, r.client_callable); }
    println!("defaults {:?}", m.def().defaults);
    let t0 = Instant::now();
    let mut r = m.instantiate().unwrap();
    println!("instantiate {:?}", t0.elapsed());
    let mut s = state(&m);
    let mut t = 1_750_000_000_000_000u64;
    for (name, args) in [("init", vec![]), ("send", text("hello")), ("send", text("")), ("count", vec![]), ("count", vec![]), ("boom", text("x")), ("dice", vec![]), ("many", 300u32.to_le_bytes().to_vec()), ("mine", vec![]), ("deep", vec![]), ("hog", vec![]), ("spin", vec![]), ("connected", vec![]), ("transfer", [1u32.to_le_bytes(), 200u32.to_le_bytes(), [1, 0, 0, 0], [0; 4]].concat()), ("transfer", vec![1])] {
        t += 10;
        let t0 = Instant::now();
        let rep;
        (s, rep) = call(&mut r, &m, s, t, name, &args);
        println!("{name}: {:?} units {} {:?}", rep.outcome, rep.units, t0.elapsed());
        for l in rep.console { println!("    {l:?}"); }
    }
    for t in &m.def().tables { println!("{}: {}", t.name, s.row_count(t.id).unwrap()); }
    if m.def().reducer_by_name("transfer").is_none() { return }
    let (ti, _) = m.def().reducer_by_name("transfer").unwrap();
    for round in 0..std::env::args().nth(2).map_or(5, |n| n.parse().unwrap()) {
        let n = 50_000u64;
        let t0 = Instant::now();
        let mut x = 88172645463325252u64 + round;
        let mut units = 0;
        for _ in 0..n {
            t += 10;
            let mut args = vec![];
            for _ in 0..2 { x ^= x << 13; x ^= x >> 7; x ^= x << 17; args.extend(((x % 100) as u32).to_le_bytes()); }
            args.extend(1i64.to_le_bytes());
            let tx = s.begin(CallContext { position: Position { hlc: Hlc(t), author: DeviceKey([0; 32]), entry: EntryId([0; 32]), index: 0 }, time: Hlc(t) });
            let (tx, rep) = r.call(Call { reducer: ti, sender: [7; 32], connection: ConnectionId([3; 16]), time: Hlc(t), args: &args, claims: None, database: [9; 32], units: 1_000_000_000 }, tx).unwrap();
            assert!(rep.outcome.is_ok(), "{rep:?}");
            units = rep.units;
            s = tx.commit().0;
        }
        let d = t0.elapsed();
        println!("round {round}: {:.2} us/call units {units}", d.as_secs_f64() * 1e6 / n as f64);
    }
    let n = 200_000;
    let t0 = Instant::now();
    let (ci, _) = m.def().reducer_by_name("disconnected").or(m.def().reducer_by_name("identity_disconnected")).unwrap();
    let mut units = 0;
    for _ in 0..n {
        t += 10;
        let tx = s.begin(CallContext { position: Position { hlc: Hlc(t), author: DeviceKey([0; 32]), entry: EntryId([0; 32]), index: 0 }, time: Hlc(t) });
        let (tx, rep) = r.call(Call { reducer: ci, sender: [7; 32], connection: ConnectionId([3; 16]), time: Hlc(t), args: &[], claims: None, database: [9; 32], units: 1_000_000_000 }, tx).unwrap();
        units = rep.units;
        s = tx.abort();
    }
    println!("empty: {:.2} us/call units {units}", t0.elapsed().as_secs_f64() * 1e6 / n as f64);
}
