//! What refusals say: one short line without anything that a terminal obeys, and the cure.

use std::fmt::Write as _;

use wasm_engine_abi::manifest::CAPABILITIES_MAX;
use wasm_engine_abi::plain::is_plain;
use wasm_engine_guest::admission::{ModuleLimits, Refusal, admit, attach_manifest};

use crate::rig::TRIVIAL;

const MANIFEST: &str = "name = 'm'\nversion = '1'\nabi = 1\ncapabilities = ['publish:**']\n";
/// Clears a screen, sets a title, forges a line, turns the direction of writing.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nerror: all fine\u{9b}1m\u{202e}\u{2028}";

/// [`TRIVIAL`] with `imports` at its head and `fields` at its end, without a manifest.
fn module(imports: &str, fields: &str) -> Vec<u8> {
    let text = TRIVIAL.replacen("(module", &format!("(module {imports}"), 1);
    let at = text.rfind(')').expect("a module ends");
    wat::parse_str(format!("{} {fields})", &text[..at])).expect("the module parses")
}

fn refused(wasm: &[u8]) -> Refusal {
    let error = admit("m", wasm, &ModuleLimits::default()).expect_err("must be refused");
    *error.refusal
}

/// The refusal of a module with `fields` and a manifest.
fn said(fields: &str) -> String {
    let imports = fields.starts_with("(import");
    let module = if imports { module(fields, "") } else { module("", fields) };
    refused(&attach_manifest(&module, MANIFEST.as_bytes())).to_string()
}

fn with_manifest(manifest: &str) -> Vec<u8> {
    attach_manifest(&module("", ""), manifest.as_bytes())
}

/// A text of WebAssembly's text format.
fn quoted(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "\\{byte:02x}");
        out
    })
}

#[test]
fn a_modules_own_words_are_one_short_plain_line() {
    let long = "A".repeat(99_000);
    let many = "i64 ".repeat(1_000);
    for name in [HOSTILE, &long, &HOSTILE.repeat(1_000)] {
        let text = quoted(name);
        let manifests = [
            format!("{MANIFEST}\n\"{}\" = 1", toml_escaped(name)),
            MANIFEST.replace("publish:**", &toml_escaped(name)).replace('\'', "\""),
            MANIFEST.replace("'1'", &format!("\"{}\"", toml_escaped(name))),
            format!("{MANIFEST}{name}"),
        ];
        let mut modules: Vec<Vec<u8>> = manifests.iter().map(|m| with_manifest(m)).collect();
        for (imports, fields) in [
            (format!("(import \"env\" \"{text}\" (func))"), String::new()),
            (format!("(import \"{text}\" \"x\" (func))"), String::new()),
            (format!("(import \"wasm_engine\" \"{text}\" (memory 1 1))"), String::new()),
            (format!("(import \"wasm_engine\" \"send\" (func (param {many})))"), String::new()),
            (String::new(), format!("(func (export \"__we_{text}\"))")),
            (String::new(), format!("(func (export \"{text}\")) (func (export \"{text}\"))")),
            (String::new(), format!("(func (export \"_initialize\") (param {many}))")),
        ] {
            modules.push(attach_manifest(&module(&imports, &fields), MANIFEST.as_bytes()));
        }
        for wasm in modules {
            let error = admit("m", &wasm, &ModuleLimits::default()).expect_err("refused");
            let shown = error.to_string();
            assert!(shown.chars().all(is_plain), "{shown}");
            assert!(shown.len() < 700, "{} bytes: {shown}", shown.len());
        }
    }
}

/// A text between double quotes of TOML.
fn toml_escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, character| {
        let _ = write!(out, "\\U{:08X}", character as u32);
        out
    })
}

#[test]
fn refusals_name_the_cure() {
    for (fields, words) in [
        ("(import \"wasi_snapshot_preview1\" \"fd_write\" (func))", "-target=wasm-unknown"),
        ("(import \"gojs\" \"runtime.wasmExit\" (func (param i32)))", "TinyGo"),
        ("(import \"env\" \"abort\" (func (param i32 i32 i32 i32)))", "--use abort=FILE/abort"),
        ("(import \"env\" \"memory\" (memory 1 2))", "--import-memory"),
        ("(import \"env\" \"memcpy\" (func (param i32 i32 i32) (result i32)))", "define it"),
        ("(import \"__wbindgen_placeholder__\" \"x\" (func))", "wasm-bindgen"),
        ("(func $s) (start $s)", "--exportStart _initialize"),
        ("(func (param externref))", "externref"),
        ("(global i32 (i32.add (i32.const 1) (i32.const 1)))", "-extended-const"),
        ("(func (result i32) i32.const 0 i32.const 0 i32.atomic.rmw.add)", "-pthread"),
        ("(func $f (return_call $f))", "-mno-tail-call"),
        (
            "(func (param v128 v128) (result v128)
               local.get 0 local.get 1 i8x16.relaxed_swizzle)",
            "-mno-relaxed-simd",
        ),
    ] {
        let text = said(fields);
        assert!(text.contains(words), "no `{words}` in: {text}");
    }
    let unbounded = TRIVIAL.replace("\"memory\") 1 1", "\"memory\") 1");
    let text = refused(&wat::parse_str(unbounded).expect("parses")).to_string();
    for words in ["-Wl,--max-memory", "link-arg=--max-memory", "--maximumMemory", "zig"] {
        assert!(text.contains(words), "no `{words}` in: {text}");
    }
}

/// What compilers make by themselves: a stack that alone is as long as a memory may be.
#[test]
fn a_memory_that_starts_too_large_is_cured_by_a_smaller_stack() {
    for (pages, flags) in [
        ("257", &["no maximum", "link-arg=--max-memory"][..]),
        ("257 258", &["may grow", "--max-memory"]),
    ] {
        let wat = TRIVIAL.replace("\"memory\") 1 1", &format!("\"memory\") {pages}"));
        let text = refused(&wat::parse_str(wat).expect("parses")).to_string();
        for words in flags.iter().chain(&["-z,stack-size", "link-arg=-zstack-size", "--stack "]) {
            assert!(text.contains(words), "no `{words}` in: {text}");
        }
    }
    let wat = TRIVIAL.replace("\"memory\") 1 1", "\"memory\") 16 257");
    let text = refused(&wat::parse_str(wat).expect("parses")).to_string();
    assert!(!text.contains("stack"), "{text}");
}

#[test]
fn a_foreign_import_is_named_before_what_is_wrong_with_the_code() {
    // As Go's compiler makes them: more blocks than are allowed, and the imports of its host.
    let deep = format!("(func {} {})", "block ".repeat(1_100), "end ".repeat(1_100));
    let wasm = module("(import \"gojs\" \"debug\" (func (param i32)))", &deep);
    let text = refused(&wasm).to_string();
    assert!(text.contains("gojs"), "{text}");
}

#[test]
fn a_manifest_may_lie_beside_the_module() {
    let limits = ModuleLimits::default();
    let bare = module("", "");
    let none = refused(&bare);
    assert!(matches!(none, Refusal::ManifestCount { count: 0, .. }), "{none}");
    assert!(none.to_string().contains("NAME.manifest.toml"), "{none}");
    let wasm = attach_manifest(&bare, MANIFEST.as_bytes());
    let admitted = admit("m", &wasm, &limits).expect("admitted");
    assert_eq!((admitted.manifest.name.as_str(), &admitted.original), ("m", &wasm));
    assert_eq!(admitted.hash, *blake3::hash(&wasm).as_bytes(), "the hash holds the manifest too");
    let two = refused(&attach_manifest(&wasm, MANIFEST.as_bytes()));
    assert!(matches!(two, Refusal::ManifestCount { count: 2, .. }), "{two}");
}

#[test]
fn capabilities_are_few_and_short() {
    let manifest = |count: u32, bytes: usize| {
        let each = |n| format!("'publish:{n:0width$}'", width = bytes - "publish:".len());
        let list: Vec<String> = (0..count).map(each).collect();
        MANIFEST.replace("'publish:**'", &list.join(",\n"))
    };
    let most =
        with_manifest(&manifest(CAPABILITIES_MAX - 1, 240).replace("= [", "= ['publish:**',"));
    admit("m", &most, &ModuleLimits::default()).expect("as many as there may be");
    let many = refused(&with_manifest(&manifest(CAPABILITIES_MAX + 1, 20)));
    assert!(
        matches!(many, Refusal::TooMany { count: 257, max: 256, what } if what.contains("capab")),
        "{many}"
    );
    let long = refused(&with_manifest(&manifest(1, 257)));
    assert!(matches!(long, Refusal::UnknownCapability { .. }), "{long}");
}

#[test]
fn a_module_whose_exports_run_constructors_every_time_is_refused() {
    // As wasm-ld writes them: the export is a wrapper of this name.
    let named = |name: &str| {
        let text = TRIVIAL.replacen(
            "(func (export \"agent_init\")",
            &format!("(func ${name} (export \"agent_init\")"),
            1,
        );
        assert_ne!(text, TRIVIAL);
        attach_manifest(&wat::parse_str(text).expect("it parses"), MANIFEST.as_bytes())
    };
    assert!(matches!(refused(&named("agent_init.command_export")), Refusal::WrappedExports));
    admit("m", &named("agent_init"), &ModuleLimits::default()).expect("its own name");
}
