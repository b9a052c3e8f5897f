//! The imports of `tombolo_1.0`: documents of a call.

use documents::{Change, Document};
use wasm_encoder::Instruction as I;

use super::fixture::{Bench, Fixture, SCRATCH, TEXTS, at, import, reducer};
use super::script::{BUFFER, LEN, NUMBER, Script};
use super::views::definition;
use crate::imports::offered;
use crate::{Outcome, ViewRows};

/// Texts in the module's memory, one behind another.
#[derive(Default)]
struct Texts(Vec<u8>);

impl Texts {
    /// Where a text lies, and how long it is.
    fn add(&mut self, text: &[u8]) -> [i32; 2] {
        let at = TEXTS + i32::try_from(self.0.len()).unwrap();
        self.0.extend_from_slice(text);
        [at, i32::try_from(text.len()).unwrap()]
    }
}

fn bench(script: Script, texts: Texts) -> Bench {
    let mut fixture = Fixture::new(vec![script.end()]);
    fixture.texts = texts.0;
    fixture.bench()
}

/// Reads the source whose number is at [`NUMBER`], which must hold this text.
fn gives(script: Script, text: [i32; 2]) -> Script {
    let [at_text, len] = text;
    let mut script = script.put(LEN, 4_096);
    script.body.extend([
        I::I32Const(NUMBER),
        I::I32Load(at(0)),
        I::I32Const(BUFFER),
        I::I32Const(LEN),
        I::Call(import("bytes_source_read")),
    ]);
    script
        .check(-1)
        .holds(LEN, len)
        .holds_same(BUFFER, at_text, len)
}

/// Calls an import whose last argument but one has 64 bits.
fn call_wide(
    mut script: Script,
    name: &str,
    arguments: [i32; 3],
    wide: i64,
    expected: i32,
) -> Script {
    script.body.extend(arguments.map(I::I32Const));
    script.body.extend([
        I::I64Const(wide),
        I::I32Const(NUMBER),
        I::Call(import(name)),
    ]);
    script.check(expected)
}

/// Opens a document, which must get that number.
fn open(script: Script, number: i32) -> Script {
    script
        .call("document_open", &[NUMBER], 0)
        .holds(NUMBER, number)
}

/// A change by somebody else: a text at `/text`.
fn typed(actor: u8, text: &str) -> Vec<u8> {
    let mut document = Document::new();
    document.act_as(&[actor], 0).unwrap();
    document.put("/text", &format!("{text:?}")).unwrap();
    document.commit().unwrap()
}

#[test]
fn a_document_is_edited_asked_and_closed() {
    let mut texts = Texts::default();
    let [salt, root, text] = [&b"salt"[..], b"", b"/text"].map(|text| texts.add(text));
    let [list, first, behind] = [&b"/list"[..], b"/list/0", b"/list/-"].map(|text| texts.add(text));
    let [hello, one, two, hits] =
        [&b"\"hello\""[..], b"[1]", b"2", b"/hits"].map(|text| texts.add(text));
    let world = texts.add(" wörld".as_bytes());
    let all = texts.add("{\"hits\":8,\"list\":[2],\"text\":\"hell wörld!\"}".as_bytes());
    let plain = texts.add("hell wörld!".as_bytes());
    let exclamation = texts.add(b"!");
    let put = |script: Script, path: [i32; 2], json: [i32; 2]| {
        script.call(
            "document_put",
            &[1, path[0], path[1], json[0], json[1], NUMBER],
            0,
        )
    };
    let splice = |script: Script, from: i32, delete: i32, put: [i32; 2]| {
        let arguments = [1, text[0], text[1], from, delete, put[0], put[1], NUMBER];
        script.call("document_splice", &arguments, 0)
    };
    let mut script = open(Script::new(), 1);
    script = script
        .call("document_act", &[1, salt[0], salt[1], NUMBER], 0)
        .holds(NUMBER, 0);
    script = put(script, text, hello);
    script = put(script, list, one);
    script = script.call(
        "document_insert",
        &[1, behind[0], behind[1], two[0], two[1], NUMBER],
        0,
    );
    script = script.call("document_delete", &[1, first[0], first[1], NUMBER], 0);
    script = call_wide(script, "document_put_counter", [1, hits[0], hits[1]], 10, 0);
    script = call_wide(script, "document_increment", [1, hits[0], hits[1]], -2, 0);
    script = splice(script, 4, 1, world);
    script = splice(script, 10, 0, exclamation);
    script = gives(
        script.call("document_json", &[1, root[0], root[1], NUMBER], 0),
        all,
    );
    script = gives(
        script.call("document_text", &[1, text[0], text[1], NUMBER], 0),
        plain,
    );
    script
        .body
        .extend([I::I32Const(1), I::Call(import("document_close"))]);
    let script = open(script, 2);
    let mut bench = bench(script, texts);
    assert_eq!(bench.outcome("script"), Outcome::Ok);
    assert!(bench.is_image());
}

#[test]
fn changes_are_merged_and_given() {
    let change = typed(1, "hello");
    let mut document = Document::new();
    document.merge(&change).unwrap();
    let mut texts = Texts::default();
    let [path, hello] = [&b"/text"[..], b"hello"].map(|text| texts.add(text));
    let bytes = texts.add(&change);
    let head = texts.add(&document.heads().unwrap()[0].0);
    let [new, none] = [1_u32, 0].map(|count| texts.add(&count.to_le_bytes()));
    let nothing = texts.add(b"");
    let merge = ["document_merge"; 2];
    let mut script = open(Script::new(), 1);
    for (import, count) in merge.into_iter().zip([new, none]) {
        script = gives(
            script.call(import, &[1, bytes[0], bytes[1], NUMBER], 0),
            count,
        );
    }
    script = gives(
        script.call("document_text", &[1, path[0], path[1], NUMBER], 0),
        hello,
    );
    script = gives(script.call("document_heads", &[1, NUMBER], 0), head);
    script = gives(script.call("document_changes", &[1, NUMBER], 0), bytes);
    script = script
        .call("document_commit", &[1, NUMBER], 0)
        .holds(NUMBER, 0);
    script = script.call("document_merge", &[1, nothing[0], 0, NUMBER], 0);
    assert_eq!(bench(script, texts).outcome("script"), Outcome::Ok);
}

#[test]
fn what_is_refused_has_a_reason() {
    let mut texts = Texts::default();
    let [salt, path, json] = [&b"s"[..], b"/a/b", b"1"].map(|text| texts.add(text));
    let [nowhere, malformed] = [
        &b"nothing is at \"/a\""[..],
        b"these bytes are no Automerge change: they do not begin like one",
    ]
    .map(|text| texts.add(text));
    let nobody = texts.add(b"nobody said in whose name the document is edited");
    let mut script = open(Script::new(), 1);
    let put = [1, path[0], path[1], json[0], json[1], NUMBER];
    script = gives(script.call("document_put", &put, 1), nobody);
    script = script.call("document_act", &[1, salt[0], salt[1], NUMBER], 0);
    script = gives(script.call("document_put", &put, 1), nowhere);
    script = gives(
        script.call("document_text", &[1, path[0], path[1], NUMBER], 1),
        nowhere,
    );
    script = gives(
        script.call("document_merge", &[1, path[0], path[1], NUMBER], 1),
        malformed,
    );
    script = gives(
        script.call("change_read", &[path[0], path[1], NUMBER], 1),
        malformed,
    );
    assert_eq!(bench(script, texts).outcome("script"), Outcome::Ok);
}

#[test]
fn a_change_is_read_and_judged_beside_what_it_needs() {
    let first = typed(1, "hello");
    let mut document = Document::new();
    document.merge(&first).unwrap();
    document.act_as(&[2], 0).unwrap();
    document.splice("/text", 5, 0, "!").unwrap();
    let second = document.commit().unwrap();
    let [one, two] = [&first, &second].map(|bytes| Change::read(bytes).unwrap());
    let name = |change: &Change| {
        let mut name = change.hash().0;
        name.reverse();
        name
    };
    let facts = [
        &name(&two)[..],
        &[1, 0, 0, 0, 2],
        &1_u64.to_le_bytes(),
        &7_u32.to_le_bytes(),
        &7_u32.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &name(&one),
        // The text that the first operation made, and the last character.
        &2_u32.to_le_bytes(),
        &[1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0],
        &[1, 0, 0, 0, 1, 6, 0, 0, 0, 6, 0, 0, 0],
    ]
    .concat();
    let mut texts = Texts::default();
    let [first, second, facts] = [&first, &second, &facts].map(|bytes| texts.add(bytes));
    let unseen = texts.add(b"operation 0 of the change refers to an object that it has not seen");
    let early = texts.add(b"the change numbers its operations from 7 on, having seen 7");
    let mut script = Script::new();
    script = gives(
        script.call("change_read", &[second[0], second[1], NUMBER], 0),
        facts,
    );
    let check = |script: Script, others: [i32; 2], seen: i32, expected: i32| {
        let arguments = [second[0], second[1], others[0], others[1], seen, NUMBER];
        script.call("change_check", &arguments, expected)
    };
    script = check(script, first, 6, 0).holds(NUMBER, 0);
    script = gives(check(script, [first[0], 0], 6, 1), unseen);
    script = gives(check(script, first, 7, 1), early);
    assert_eq!(bench(script, texts).outcome("script"), Outcome::Ok);
}

#[test]
fn misuse_of_documents_ends_the_call() {
    let ends = |arguments: &[i32], name: &str, why: &str| {
        let mut texts = Texts::default();
        texts.add(b"/a1");
        let mut script = Script::new();
        script
            .body
            .extend(arguments.iter().map(|argument| I::I32Const(*argument)));
        script.body.push(I::Call(import(name)));
        let script = if name == "document_close" {
            script
        } else {
            script.check(0)
        };
        match bench(script, texts).outcome("script") {
            Outcome::Trapped(text) => assert!(text.contains(why), "{name}: {text}"),
            other => panic!("{name}: {other:?}"),
        }
    };
    let not_open = "a document that is not open";
    for name in ["document_commit", "document_changes", "document_heads"] {
        ends(&[1, NUMBER], name, not_open);
        ends(&[1, -1], name, "memory");
    }
    for name in [
        "document_merge",
        "document_act",
        "document_delete",
        "document_json",
        "document_text",
    ] {
        ends(&[1, TEXTS, 2, NUMBER], name, not_open);
        ends(&[1, TEXTS, 2, -1], name, "memory");
        ends(&[1, -1, 2, NUMBER], name, "memory");
    }
    ends(&[1], "document_close", not_open);
    ends(&[-1], "document_open", "memory");
    ends(&[-1, 2, NUMBER], "change_read", "memory");
    ends(&[TEXTS, 2, -1, 2, 0, NUMBER], "change_check", "memory");

    let mut many = Script::new();
    for number in 1..=i32::try_from(crate::limits::DOCUMENTS_MAX).unwrap() {
        many = open(many, number);
    }
    let many = many.call("document_open", &[NUMBER], 0);
    match bench(many, Texts::default()).outcome("script") {
        Outcome::Trapped(text) => assert!(text.contains("too many documents are open"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_view_reads_documents_and_edits_none() {
    let change = typed(1, "hello");
    let mut texts = Texts::default();
    let [path, bytes] = [&b"/text"[..], &change].map(|text| texts.add(text));
    let view = |edits: bool| {
        let mut script = open(Script::new(), 1);
        script = script.call("document_merge", &[1, bytes[0], bytes[1], NUMBER], 0);
        if edits {
            script = script.call("document_act", &[1, path[0], path[1], NUMBER], 0);
        }
        script = script
            .call("document_text", &[1, path[0], path[1], NUMBER], 0)
            .put(LEN, 64);
        let mut fixture = Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])]);
        fixture.texts.clone_from(&texts.0);
        let mut body = script.body;
        body.extend([
            I::I32Const(NUMBER),
            I::I32Load(at(0)),
            I::I32Const(BUFFER),
            I::I32Const(LEN),
            I::Call(import("bytes_source_read")),
            I::Drop,
            I::I32Const(1),
            I::I32Const(BUFFER),
            I::I32Const(LEN),
            I::Call(import("bytes_sink_write")),
            I::Drop,
            I::I32Const(0),
        ]);
        fixture.view = Some(body);
        fixture.bench().view(&definition())
    };
    assert_eq!(view(false), Ok(ViewRows::Rows(b"hello".to_vec())));
    let refused = view(true).unwrap_err();
    assert!(refused.contains("a view edits no document"), "{refused}");
}

#[test]
fn before_any_call_there_are_no_documents() {
    let mut fixture = Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])]);
    let body = vec![
        I::I32Const(SCRATCH),
        I::Call(import("document_open")),
        I::I32Const(2),
        I::I32Ne,
        I::If(wasm_encoder::BlockType::Empty),
        I::Unreachable,
        I::End,
    ];
    fixture.initialisers = vec![("__preinit__10", body)];
    assert_eq!(fixture.bench().outcome("nothing"), Outcome::Ok);
}

#[test]
fn what_documents_cost_is_paid_for() {
    let change = typed(1, &"a".repeat(10_000));
    assert!(change.len() < 20_000);
    let mut texts = Texts::default();
    let bytes = texts.add(&change);
    let script = open(Script::new(), 1).call("document_merge", &[1, bytes[0], bytes[1], NUMBER], 0);
    let mut fixture = Fixture::new(vec![script.end()]);
    fixture.texts = texts.0;
    fixture.pages = 4;
    let mut bench = fixture.bench();
    let report = bench.call("script");
    assert_eq!(report.outcome, Outcome::Ok);
    assert!(report.units > 10_000 * 3_000, "{}", report.units);
    bench.units = report.units - 10_000 * 3_000 / 2;
    assert_eq!(bench.outcome("script"), Outcome::OutOfUnits);
}

#[test]
fn the_same_call_writes_in_the_same_name_and_another_in_another() {
    let mut texts = Texts::default();
    let [path, json, one, two] = [&b"/a"[..], b"1", b"one", b"two"].map(|text| texts.add(text));
    // The error text tells the change.
    let told = |salt: [i32; 2]| {
        let mut script = open(Script::new(), 1);
        script = script.call("document_act", &[1, salt[0], salt[1], NUMBER], 0);
        script = script.call(
            "document_put",
            &[1, path[0], path[1], json[0], json[1], NUMBER],
            0,
        );
        script = script.call("document_heads", &[1, NUMBER], 0).put(LEN, 64);
        script.body.extend([
            I::I32Const(NUMBER),
            I::I32Load(at(0)),
            I::I32Const(BUFFER),
            I::I32Const(LEN),
            I::Call(import("bytes_source_read")),
            I::Drop,
            // Bytes as text: those that are none are replaced, the rest tells heads apart.
            I::I32Const(1),
            I::I32Const(BUFFER),
            I::I32Const(LEN),
            I::Call(import("bytes_sink_write")),
            I::Drop,
            I::I32Const(1),
            I::Return,
        ]);
        let mut fixture = Fixture::new(vec![script.end()]);
        fixture.texts.clone_from(&texts.0);
        fixture.bench()
    };
    let heads = |bench: &mut Bench| match bench.outcome("script") {
        Outcome::Failed(heads) => heads,
        other => panic!("{other:?}"),
    };
    let mut first = told(one);
    let at_first = heads(&mut first);
    assert_eq!(
        heads(&mut told(one)),
        at_first,
        "at the same time, on another peer"
    );
    assert_ne!(heads(&mut first), at_first, "a call later");
    assert_ne!(heads(&mut told(two)), at_first, "with another salt");
}

#[test]
fn every_import_of_documents_is_tried_here() {
    let text = include_str!("documents.rs");
    for import in offered().filter(|import| import.module == "tombolo_1.0") {
        assert!(
            text.contains(&format!("\"{}\"", import.name)),
            "{}",
            import.name
        );
    }
}
