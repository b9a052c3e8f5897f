
use super::*;
use crate::fixtures::{Dice,system};
use crate::equivocation::EquivocationProof;
use crate::system_call::SystemCall;
#[allow(clippy::disallowed_methods, reason="x")]
#[test]
fn speed() {
    let mut world = World::new();
    let mut dice = Dice(1);
    let mut entries: Vec<Arc<Entry>> = vec![];
    let t = std::time::Instant::now();
    for n in 0..10_000usize {
        let author = 1 + dice.below(4);
        let ps: Vec<Arc<Entry>> = (0..dice.below(3)).filter(|_| n>0).map(|_| entries[entries.len()-1-dice.below(entries.len().min(20))].clone()).collect();
        let refs: Vec<&Arc<Entry>> = ps.iter().collect();
        let e = world.write_body(author, &refs, calls(10));
        entries.push(e);
    }
    println!("seal {:?}/entry", t.elapsed()/10_000);
    let t = std::time::Instant::now();
    for e in &entries { let _ = Entry::open(e.encoded()).unwrap(); }
    println!("open {:?}/entry", t.elapsed()/10_000);
    let big = world.write_body(1, &[], calls(4096));
    let t = std::time::Instant::now();
    for _ in 0..100 { let _ = Entry::open(big.encoded()).unwrap(); }
    println!("open 4096 calls {:?}/call", t.elapsed()/409_600);
    let t = std::time::Instant::now();
    for e in &entries { world.dag.offer(e.clone(), None, &world.birth); }
    println!("offer own {:?}/entry", t.elapsed()/10_000);
    let mut d2 = world.birth.dag(rights());
    let t = std::time::Instant::now();
    for e in &entries { d2.offer(e.clone(), Some(key(99).public()), &world.birth); }
    println!("offer remote {:?}/entry", t.elapsed()/10_000);
    assert_eq!(d2.heads_hash(), world.dag.heads_hash());
    let mut d3 = world.birth.dag(rights());
    let t = std::time::Instant::now();
    let mut rev = entries.clone(); dice.shuffle(&mut rev);
    for e in &rev { d3.offer(e.clone(), None, &world.birth); }
    println!("offer shuffled {:?}/entry", t.elapsed()/10_000);
    assert_eq!(d3.heads_hash(), world.dag.heads_hash());
    let t = std::time::Instant::now();
    let n = world.dag.tail(Hlc(u64::MAX)).count();
    println!("tail {n} {:?}", t.elapsed());
    let t = std::time::Instant::now();
    for _ in 0..100 { let _ = world.dag.parents_for_next(Some(entries[9999].id), Hlc(u64::MAX>>1)); }
    println!("parents {:?}", t.elapsed()/100);
    let t = std::time::Instant::now();
    for _ in 0..100 { let _ = world.dag.heads_hash(); }
    println!("heads_hash {:?} of {}", t.elapsed()/100, world.dag.heads().len());
    let t = std::time::Instant::now();
    let _ = world.dag.chains();
    println!("chains {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let x = world.dag.entries_beyond(&[], 1<<20).0.len();
    println!("beyond {x} {:?}", t.elapsed());
    let a = world.write(1, &[]); let b = world.fork(1, &[]);
    world.authors[1].previous = Some(a.id);
    world.dag.offer(a.clone(), None, &world.birth); world.dag.offer(b.clone(), None, &world.birth);
    let rep = world.write_body(2, &[], system(&[SystemCall::ReportEquivocation(Box::new(EquivocationProof::of(&a,&b)))]));
    let t = std::time::Instant::now();
    world.dag.offer(rep, None, &world.birth);
    println!("report {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let seg = d2.segment(&[entries[5000].id], &world.birth).unwrap();
    println!("segment of {} {:?}", seg.len(), t.elapsed());
    let cut = world.birth.next_cut(vec![entries[5000].id], &seg);
    world.birth.cover(&cut, &seg);
    let t = std::time::Instant::now();
    d2.advance(&cut, rights(), &world.birth);
    println!("advance, {} stay {:?}", d2.len(), t.elapsed());
}
