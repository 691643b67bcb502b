//! What is generated from the tables of the guest contract: the declarations in the C header and
//! the table of calls in `docs/SEMANTICS.md`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p wasm-engine-agent --test agent` writes them anew; read the
//! difference before committing it.

use std::fmt::Write as _;
use std::path::Path;

use wasm_engine_abi::calls::{Answer, CALLS, Call, Form, Needs, Status};
use wasm_engine_abi::code::CodeEntry;
use wasm_engine_abi::frame::item;
use wasm_engine_abi::tensor::ValueKind;

const HEADER: &str = "include/wasm_engine_agent.h";
const SEMANTICS: &str = "../docs/SEMANTICS.md";

/// `KernelFull` as C and the documents write it, in words with `gap` between.
fn spaced(name: &str, gap: char) -> String {
    name.chars().fold(String::new(), |mut out, letter| {
        if letter.is_uppercase() && !out.is_empty() {
            out.push(gap);
        }
        out.push(letter);
        out
    })
}

/// A documentation comment without links and mark-up.
fn prose(doc: &str) -> String {
    doc.replace("[`super::", "").replace("[`", "").replace("`]", "").replace('`', "")
}

/// An enumeration in C: names, numbers and meanings.
fn enumeration<T: std::fmt::Display>(
    codes: impl Iterator<Item = (String, CodeEntry<T>)>,
) -> String {
    let mut out = "enum {\n".to_owned();
    for (name, code) in codes {
        let (name, value) = (name.to_uppercase(), code.value);
        writeln!(out, "  /* {} */\n  WE_{name} = {value},", prose(code.doc)).expect("a string");
    }
    out + "};\n"
}

/// A call as C declares it.
fn in_c(call: &Call) -> String {
    let param = |(name, form): &(&str, Form)| match form {
        Form::text => format!("const char *{name}, size_t {name}_len"),
        Form::bytes => format!("const void *{name}, size_t {name}_len"),
        Form::floats => format!("const float *{name}, size_t {name}_bytes"),
        Form::u32 => format!("int32_t {name}"),
        Form::u64 => format!("uint64_t {name}"),
    };
    let answer = match call.answer {
        Answer::sequence => "int64_t",
        Answer::number => "uint64_t",
        Answer::handle | Answer::status => "int32_t",
    };
    let params: Vec<String> = call.params.iter().map(param).collect();
    let params = if params.is_empty() { "void".to_owned() } else { params.join(", ") };
    let (name, doc) = (call.name, prose(call.doc));
    format!("/* {doc} */\nWE_IMPORT(\"{name}\")\n{answer} we_{name}({params});\n")
}

/// The calls as SEMANTICS lists them.
fn table_of_calls() -> String {
    let mut out =
        "| call | answer | needs | fuel | what it does |\n|---|---|---|---|---|\n".to_owned();
    for call in CALLS {
        let param = |(name, form): &(&str, Form)| format!("{name}: {form:?}");
        let params: Vec<String> = call.params.iter().map(param).collect();
        let needs = match call.needs {
            Needs::Nothing => "–".to_owned(),
            Needs::Capability(name) => format!("`{name}`"),
            Needs::Pattern(prefix) => format!("`{prefix}PATTERN`"),
        };
        let Call { name, answer, fuel_base, doc, .. } = call;
        let params = params.join(", ");
        writeln!(out, "| `{name}({params})` | {answer:?} | {needs} | {fuel_base} | {doc} |")
            .expect("a string");
    }
    out
}

/// Compares what stands between two marks of a file, or writes it anew if that is asked for.
fn compare(file: &str, marks: [&str; 2], new: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let whole = std::fs::read_to_string(&path).expect("it is in the repository");
    let [first, last] = marks;
    let (before, rest) = whole.split_once(&format!("{first}\n")).expect("the first mark");
    let end = rest.find(last).expect("the last mark");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let whole = format!("{before}{first}\n{new}{}", &rest[end..]);
        std::fs::write(path, whole).expect("it can be written");
        return;
    }
    assert_eq!(
        &rest[..end],
        new,
        "{file} is not what the code declares. Run UPDATE_GOLDEN=1 cargo test -p wasm-engine-agent \
         --test agent, and look at the difference"
    );
}

#[test]
fn declarations_in_the_c_header_are_those_of_the_contract() {
    const LAST: &str = "/* end of generated */";
    let calls: String = CALLS.iter().map(in_c).collect();
    compare(HEADER, ["/* generated: calls */", LAST], &calls);
    let items = item::ALL.iter().map(|code| (code.text.to_owned(), *code));
    compare(HEADER, ["/* generated: kinds of item */", LAST], &enumeration(items));
    let kinds = ValueKind::CODES.iter().map(|code| (code.text.to_owned(), *code));
    compare(HEADER, ["/* generated: kinds of value */", LAST], &enumeration(kinds));
    let names = Status::ALL.iter().map(|status| spaced(&format!("{status:?}"), '_'));
    let statuses = names.zip(Status::CODES.iter().copied());
    compare(HEADER, ["/* generated: statuses */", LAST], &enumeration(statuses));
}

#[test]
fn the_table_of_calls_in_semantics_is_that_of_the_contract() {
    compare(SEMANTICS, ["<!-- generated: calls -->", "<!-- end -->"], &table_of_calls());
    let names: Vec<&str> = CALLS.iter().map(|call| call.name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "the table is in alphabetical order: {names:?}");
}
