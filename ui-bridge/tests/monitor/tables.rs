//! What is generated from the declarations of published bytes: the tables in `docs/REGION.md` and
//! the layouts in the readers in C and Python.
//!
//! `UPDATE_GOLDEN=1 cargo test -p wasm-engine-ui-bridge --test monitor` writes them anew; read the
//! difference before committing it. A new struct is a line in [`STRUCTS`], a new table of codes a
//! line in [`CODES`]; each has a block in the document, between `<!-- generated: NAME -->` and
//! `<!-- end -->`.

use std::fmt::Write as _;
use std::path::Path;

use wasm_engine_abi::SCHEMA;
use wasm_engine_abi::code::CodeEntry;
use wasm_engine_abi::counter::{self, CounterDescription};
use wasm_engine_abi::frame::fault;
use wasm_engine_abi::page::{
    AgentRow, Field, KernelPage, LaneRow, ModelRow, RingRow, TraceEvent, agent_state, event,
    lane_state, model_state, run_state, section, stall,
};
use wasm_engine_shm::header::{OwnerState, entry, word};
use wasm_engine_shm::layout::SectionKind;
use wasm_engine_shm::locate::field;

const UPDATE: &str = "UPDATE_GOLDEN";
const DOCUMENT: &str = "../docs/REGION.md";

/// A published struct.
struct Struct {
    name: &'static str,
    bytes: usize,
    fields: &'static [Field],
    /// Name and id of the table whose rows it is.
    rows: Option<(&'static str, u32)>,
}

macro_rules! of {
    ($name:ident, $rows:expr) => {
        Struct {
            name: stringify!($name),
            bytes: size_of::<$name>(),
            fields: $name::FIELDS,
            rows: $rows,
        }
    };
}

const STRUCTS: &[Struct] = &[
    of!(KernelPage, None),
    of!(AgentRow, Some(("agents", section::AGENTS))),
    of!(LaneRow, Some(("lanes", section::LANES))),
    of!(ModelRow, Some(("models", section::MODELS))),
    of!(RingRow, Some(("rings", section::RINGS))),
    of!(TraceEvent, None),
];

/// A table of codes.
struct Codes {
    name: &'static str,
    about: &'static str,
    /// Number, word and meaning of each.
    all: fn() -> Vec<[String; 3]>,
    /// Numbers that stay without a meaning.
    reserved: fn() -> Vec<String>,
}

fn row<T: ToString>(code: &CodeEntry<T>) -> [String; 3] {
    [code.value.to_string(), code.text.into(), prose(code.doc)]
}

macro_rules! codes {
    ($name:ident) => {
        Codes {
            name: stringify!($name),
            about: $name::ABOUT,
            all: || $name::ALL.iter().map(row).collect(),
            reserved: || $name::RESERVED.iter().map(ToString::to_string).collect(),
        }
    };
}

const CODES: &[Codes] = &[
    codes!(section),
    codes!(event),
    codes!(run_state),
    codes!(stall),
    codes!(agent_state),
    codes!(fault),
    codes!(lane_state),
    codes!(model_state),
];

/// Every block of the document: its name and what stands in it.
fn blocks() -> Vec<(&'static str, String)> {
    let words = |words: &[(usize, &str)]| {
        table(["word", "content"], words.iter().map(|(at, doc)| [at.to_string(), prose(doc)]))
    };
    let kinds = SectionKind::ALL.iter().map(|(kind, doc)| [kind.0.to_string(), prose(doc)]);
    let states = OwnerState::ALL
        .iter()
        .map(|(state, doc)| [state.to_word().to_string(), format!("{state:?}"), prose(doc)]);
    let descriptor =
        field::ALL.iter().map(|(at, bytes, doc)| [at.to_string(), bytes.to_string(), prose(doc)]);
    let mut blocks = vec![
        ("descriptor", table(["byte", "bytes", "content"], descriptor)),
        ("header", words(word::ALL)),
        ("owner state", table(["number", "state", "meaning"], states)),
        ("directory entry", words(entry::ALL)),
        ("section kinds", table(["kind", "what"], kinds)),
        ("event details", event_details()),
        ("counters", counters()),
    ];
    blocks.extend(STRUCTS.iter().map(|s| (s.name, fields(s))));
    blocks.extend(CODES.iter().map(|codes| (codes.name, words_of(codes))));
    blocks
}

/// Offsets, names, types and meanings of a struct's fields.
fn fields(s: &Struct) -> String {
    let rows = s.fields.iter().map(|field| {
        let Field { name, offset, bytes, word, doc } = field;
        let (count, bits) = (bytes / word, word * 8);
        let kind = if count == 1 { format!("u{bits}") } else { format!("u{bits}[{count}]") };
        [offset.to_string(), format!("`{name}`"), kind, prose(doc)]
    });
    let table = table(["byte", "field", "type", "meaning"], rows);
    format!("`{}`, {} bytes.\n\n{table}", s.name, s.bytes)
}

/// What the fields of each kind of event hold.
fn event_details() -> String {
    let shown = |detail: event::Detail| match detail {
        event::Detail::Nothing => "–".to_owned(),
        event::Detail::Agent(name) => format!("{name}: an agent's address"),
        event::Detail::Number(name) => name.to_owned(),
        event::Detail::Pair(upper, lower) => format!("{upper}, {lower}"),
        event::Detail::Source(name) => format!("{name}: position in the names"),
        event::Detail::Topic(upper, lower) => format!("{upper}: position in the names, {lower}"),
        event::Detail::Fault(name) => format!("{name}: {}", link("fault")),
        event::Detail::Stall(name) => format!("{name}: {}", link("stall")),
        event::Detail::Bits(name) => format!("{name}: 64 bits"),
    };
    let rows = event::ALL.iter().map(|kind| {
        let [subject, a, b] = event::details(kind.value).map(shown);
        let level = if event::is_full_only(kind.value) { "full" } else { "events" };
        [kind.value.to_string(), kind.text.into(), subject, a, b, level.into()]
    });
    table(["number", "event", "subject", "a", "b", "level"], rows)
}

/// Every counter that a kernel publishes.
fn counters() -> String {
    let rows = counter::all().map(|(owner, CounterDescription { name, kind, unit, help })| {
        let (id, unit) = (format!("{:#010x}", counter::id(name)), unit.ucum().into());
        let owner = format!("{owner:?}").to_lowercase();
        [id, format!("`{name}`"), kind.text().into(), unit, help.into(), owner]
    });
    table(["id", "label", "kind", "unit", "help", "thread"], rows)
}

/// Numbers, words and meanings of a table of codes.
fn words_of(codes: &Codes) -> String {
    let table = table(["number", "word", "meaning"], (codes.all)().into_iter());
    let reserved = match (codes.reserved)() {
        numbers if numbers.is_empty() => String::new(),
        numbers => format!("\nReserved: {}.\n", numbers.join(", ")),
    };
    format!("{}\n\n{table}{reserved}", prose(codes.about))
}

/// A table in Markdown; the first column holds numbers.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut out = format!("| {} |\n|---:{}|\n", head.join(" | "), "|---".repeat(N - 1));
    rows.for_each(|row| writeln!(out, "| {} |", row.join(" | ")).expect("a string"));
    out
}

/// A documentation comment as the document says it: links between items become words.
fn prose(doc: &str) -> String {
    assert!(!doc.is_empty(), "something published has no documentation comment");
    let mut parts = doc.split("[`");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, mut rest) = part.split_once("`]").expect("the end of a link");
        if let Some(target) = rest.strip_prefix('(') {
            rest = target.split_once(')').expect("the end of a link's target").1;
        }
        out += &link(path);
        out += rest;
    }
    out.replace('|', "\\|")
}

/// The words for a link to an item.
fn link(path: &str) -> String {
    let name = path.rsplit("::").next().unwrap_or(path);
    match name {
        "NONE_U32" | "NONE_U64" => "all ones".into(),
        "bucket" => "[buckets](#buckets)".into(),
        "details" => "the [table of details](#trace-broadcast-7)".into(),
        _ if CODES.iter().any(|codes| codes.name == name) => format!("[{name}](#{name})"),
        _ if STRUCTS.iter().any(|s| s.name == name) => format!("`{name}`"),
        _ => panic!("{DOCUMENT} has no words for a link to {path}: give it some here"),
    }
}

/// `whole` with `new` between two marks, each a line of its own.
fn filled(whole: &str, file: &str, marks: [&str; 2], new: &str) -> String {
    let [first, last] = marks;
    let missing = || format!("{file} lacks the lines\n{first}\n{last}\nadd them where they belong");
    let (before, rest) =
        whole.split_once(&format!("{first}\n")).unwrap_or_else(|| panic!("{}", missing()));
    let end = rest.find(last).unwrap_or_else(|| panic!("{}", missing()));
    format!("{before}{first}\n{new}{}", &rest[end..])
}

/// Writes a file anew if that is asked for; else it must be what it would become.
fn settle(file: &str, old: &str, new: &str) {
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path(file), new).expect("it can be written");
        return;
    }
    let differs = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    let (found, wanted) = differs.unwrap_or(("an end", "another end"));
    assert!(
        old == new,
        "{file} is not what the code declares. It says\n    {found}\nand should say\n    {wanted}\n\
         Run {UPDATE}=1 cargo test -p wasm-engine-ui-bridge --test monitor, and read the \
         difference"
    );
}

fn path(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).expect("it is in the repository")
}

#[test]
fn tables_in_the_document_are_what_the_code_declares() {
    const FIRST: &str = "<!-- generated: ";
    let (old, blocks) = (read(DOCUMENT), blocks());
    for name in old.split(FIRST).skip(1).filter_map(|part| part.split_once(" -->")) {
        let known = blocks.iter().any(|block| block.0 == name.0);
        assert!(known, "{DOCUMENT} has a block `{}`, which nothing generates", name.0);
    }
    let new = blocks.iter().fold(old.clone(), |text, (name, new)| {
        filled(&text, DOCUMENT, [&format!("{FIRST}{name} -->"), "<!-- end -->"], new)
    });
    assert_eq!(
        new.matches(FIRST).count(),
        blocks.len(),
        "a block stands there twice or lacks its end"
    );
    settle(DOCUMENT, &old, &new);
}

/// `AgentRow` as a constant: `AGENT_ROW`.
fn constant(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, letter| {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
        out
    })
}

/// The words of events as a C function.
fn event_words_in_c() -> String {
    let mut out =
        "/* The word of an event's kind. */\nstatic inline const char *we_event_word(uint32_t \
                   kind) {\n    switch (kind) {\n"
            .to_owned();
    for event in event::ALL {
        let (name, word) = (event.text.to_uppercase(), event.text);
        writeln!(out, "    case WE_EVENT_{name}: return \"{word}\";").expect("a string");
    }
    out + "    default: return \"unknown\";\n    }\n}\n"
}

/// Section ids, events with what their fields hold, and the words that events name, in Python.
fn codes_in_python() -> String {
    let detail = |detail: event::Detail| match detail {
        event::Detail::Nothing => "None".to_owned(),
        event::Detail::Agent(name) => format!("(\"agent\", \"{name}\")"),
        event::Detail::Number(name) => format!("(\"number\", \"{name}\")"),
        event::Detail::Pair(upper, lower) => format!("(\"pair\", \"{upper}\", \"{lower}\")"),
        event::Detail::Source(name) => format!("(\"source\", \"{name}\")"),
        event::Detail::Topic(upper, lower) => format!("(\"topic\", \"{upper}\", \"{lower}\")"),
        event::Detail::Fault(name) => format!("(\"fault\", \"{name}\")"),
        event::Detail::Stall(name) => format!("(\"stall\", \"{name}\")"),
        event::Detail::Bits(name) => format!("(\"bits\", \"{name}\")"),
    };
    let mut out = "SECTION_IDS = {\n".to_owned();
    for id in section::ALL {
        writeln!(out, "    \"{}\": {},", id.text, id.value).expect("a string");
    }
    out += "}\n# Word, then what subject, a and b hold.\nEVENTS = {\n";
    for kind in event::ALL {
        let fields = event::details(kind.value).map(detail).join(", ");
        writeln!(out, "    {}: (\"{}\", {fields}),", kind.value, kind.text).expect("a string");
    }
    out += "}\nFAULTS = {\n";
    for code in fault::ALL {
        writeln!(out, "    {}: \"{}\",", code.value, code.text).expect("a string");
    }
    out += "}\nSTALLS = {\n";
    for code in stall::ALL {
        writeln!(out, "    {}: \"{}\",", code.value, code.text).expect("a string");
    }
    out + "}\n"
}

#[test]
fn layouts_of_the_readers_are_those_of_the_kernel() {
    let mut c = format!("#define WE_SCHEMA_FINGERPRINT UINT64_C({SCHEMA:#018x})\nenum {{\n");
    let mut python = format!("SCHEMA = {SCHEMA:#018x}\n");
    let mut tables = String::new();
    for s in STRUCTS {
        let name = constant(s.name);
        writeln!(c, "    WE_{name}_WORDS = {},", s.bytes / 8).expect("a string");
        writeln!(python, "{name} = {{").expect("a string");
        for Field { name: field, offset, bytes, word, .. } in s.fields {
            let (count, letter) = (bytes / word, if *word == 8 { "Q" } else { "I" });
            let form = if count == 1 { letter.to_owned() } else { format!("{count}{letter}") };
            writeln!(c, "    WE_{name}_{} = {offset},", field.to_uppercase()).expect("a string");
            writeln!(python, "    \"{field}\": ({offset}, \"{form}\"),").expect("a string");
        }
        python.push_str("}\n");
        if let Some((table, id)) = s.rows {
            writeln!(tables, "    \"{table}\": ({id}, {name}),").expect("a string");
        }
    }
    for id in section::ALL {
        writeln!(c, "    WE_ID_{} = {},", id.text.to_uppercase(), id.value).expect("a string");
    }
    for event in event::ALL {
        let (name, value) = (event.text.to_uppercase(), event.value);
        writeln!(c, "    WE_EVENT_{name} = {value},").expect("a string");
    }
    c.push_str("    WE_LAYOUTS_END\n};\n");
    c += &event_words_in_c();
    write!(python, "TABLES = {{\n{tables}}}\n").expect("a string");
    python += &codes_in_python();
    for (file, marks, new) in [
        (
            "include/wasm_engine_monitor.h",
            ["/* generated: layouts */", "/* end of generated */"],
            c,
        ),
        ("python/wasm_engine_monitor.py", ["# generated: layouts", "# end of generated"], python),
    ] {
        let old = read(file);
        settle(file, &old, &filled(&old, file, marks, &new));
    }
}
