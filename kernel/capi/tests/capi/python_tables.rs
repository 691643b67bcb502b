//! The tables of the Python module are made of the C header, and compared.

use std::{fmt::Write, fs, path::Path};

const FIRST: &str = "# generated: header\n";
const LAST: &str = "# end of generated\n";

/// A function of the header: what it gives, its name, the types of its arguments.
pub(crate) struct Function {
    pub(crate) name: String,
    result: String,
    arguments: Vec<String>,
}

/// The header without comments and lines of the preprocessor, one declaration a part.
fn declarations(header: &str) -> Vec<String> {
    let mut text = String::new();
    let mut rest = header;
    while let Some((before, after)) = rest.split_once("/*") {
        text += before;
        rest = after.split_once("*/").expect("the end of a comment").1;
    }
    text += rest;
    // What only C++ and the preprocessor read.
    let others = ["#", "extern \"C\"", "}  // extern"];
    let others = |line: &str| others.iter().any(|it| line.trim_start().starts_with(it));
    let lines = text.lines().filter(|line| !others(line));
    let plain: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for word in plain {
        let last = parts.last_mut().expect("one is there");
        *last += word;
        last.push(' ');
        depth += word.matches('{').count();
        depth -= word.matches('}').count().min(depth);
        if depth == 0 && word.ends_with(';') {
            parts.push(String::new());
        }
    }
    parts
}

/// `const char *topic` as type and name.
fn typed(declaration: &str) -> (String, String) {
    let declaration = declaration.trim();
    let at = declaration.rfind([' ', '*']).expect("a type and a name") + 1;
    (declaration[..at].trim().replace(" *", "*"), declaration[at..].to_owned())
}

pub(crate) fn functions(header: &str) -> Vec<Function> {
    let is_function = |part: &String| part.contains("we_") && part.contains('(');
    let parts = declarations(header).into_iter().filter(is_function);
    let parts = parts.filter(|part| !part.contains("typedef"));
    parts
        .map(|part| {
            let (head, rest) = part.split_once('(').expect("its arguments");
            let (result, name) = typed(head);
            let list = rest.trim_end_matches([';', ')', ' ']);
            let list = list.split(',').filter(|one| !matches!(one.trim(), "void" | ""));
            Function { name, result, arguments: list.map(|one| typed(one).0).collect() }
        })
        .collect()
}

/// A type of the header in ctypes.
fn ctype(of: &str) -> String {
    match of {
        "we_result" | "int32_t" => "ctypes.c_int32".into(),
        "uint32_t" => "ctypes.c_uint32".into(),
        "uint64_t" | "we_builder" | "we_host" | "we_host_stream" => "ctypes.c_uint64".into(),
        "size_t" => "ctypes.c_size_t".into(),
        "double" => "ctypes.c_double".into(),
        "const char*" => "ctypes.c_char_p".into(),
        "const void*" => "ctypes.c_char_p".into(),
        "void*" | "const uint8_t*" => "ctypes.c_void_p".into(),
        "const char**" => "ctypes.POINTER(ctypes.c_char_p)".into(),
        "uint64_t*" | "const uint64_t*" => "ctypes.POINTER(ctypes.c_uint64)".into(),
        other => match other.trim_start_matches("const ").strip_suffix('*') {
            Some(name) => format!("ctypes.POINTER({name})"),
            None => other.to_owned(),
        },
    }
}

/// Enums by their names in Python, structs, callbacks and functions.
fn tables(header: &str) -> String {
    let (mut enums, mut structs, mut callbacks) = (String::new(), String::new(), String::new());
    for part in declarations(header) {
        let part = part.trim();
        if let Some(rest) = part.strip_prefix("enum ") {
            enums += &enumeration(rest);
        } else if let Some(rest) = part.strip_prefix("typedef struct {") {
            structs += &structure(rest);
        } else if let Some(rest) = part.strip_prefix("typedef void (*") {
            let (name, rest) = rest.split_once(')').expect("its name");
            let list = rest.trim_matches([' ', '(', ')', ';']).split(',');
            let list: Vec<String> = list.map(|one| ctype(&typed(one).0)).collect();
            writeln!(callbacks, "{name} = ctypes.CFUNCTYPE(None, {})", list.join(", "))
                .expect("a string");
        }
    }
    let version = header.split_once("#define WE_HOST_ABI_VERSION ").expect("the version").1;
    let version = version.lines().next().expect("a line");
    let mut out = format!("HOST_ABI_VERSION = {version}\n{enums}{structs}\n\n{callbacks}\n");
    out += "# What each function gives and takes.\nFUNCTIONS = {\n";
    for Function { name, result, arguments } in functions(header) {
        let arguments: Vec<String> = arguments.iter().map(|one| ctype(one)).collect();
        let result = ctype(&result);
        writeln!(out, "    \"{name}\": ({result}, [{}]),", arguments.join(", ")).expect("a string");
    }
    out + "}\n"
}

/// An enum: `we_result { WE_RESULT_OK = 0, … };`, perhaps with its type.
fn enumeration(rest: &str) -> String {
    let (name, rest) = rest.split_once(' ').expect("its name");
    let body = rest.split_once('{').expect("its values").1;
    let class = match name {
        "we_result" => "Result",
        "we_poll" => "PollKind",
        "we_pending" => "Pending",
        "we_ending" => "Ending",
        "we_on_failure" => "OnFailure",
        "we_task_state" => "TaskState",
        other => panic!("{other} has no name in Python: give it one here"),
    };
    let mut out = format!("\n\nclass {class}(enum.IntEnum):\n");
    let prefix = format!("{}_", name.to_uppercase());
    let values = body.split('}').next().expect("its end").split(',');
    for (value, number) in values.filter_map(|one| one.trim().split_once(" = ")) {
        let value = value.strip_prefix(&prefix).expect("its prefix");
        writeln!(out, "    {value} = {number}").expect("a string");
    }
    out
}

fn structure(rest: &str) -> String {
    let (fields, name) = rest.split_once('}').expect("its end");
    let name = name.trim_matches([' ', ';']);
    let mut out = format!("\n\nclass {name}(ctypes.Structure):\n    _fields_ = [\n");
    for field in fields.split(';').filter(|field| !field.trim().is_empty()) {
        let (of, field) = typed(field);
        let (field, of) = match field.split_once('[') {
            Some((field, count)) => {
                let count = count.trim_end_matches(']');
                (field.to_owned(), format!("ctypes.c_char * {count}"))
            }
            // Any bytes: what is read of them is read by their length.
            None if field == "text" => (field, "ctypes.c_void_p".to_owned()),
            None => (field, ctype(&of)),
        };
        writeln!(out, "        (\"{field}\", {of}),").expect("a string");
    }
    out + "    ]\n"
}

#[test]
fn tables_of_the_python_module_are_those_of_the_header() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("include/wasm_engine.h")).expect("the header");
    let path = root.join("python/wasm_engine.py");
    let old = fs::read_to_string(&path).expect("the module");
    let (before, rest) = old.split_once(FIRST).expect("where the tables begin");
    let (_, after) = rest.split_once(LAST).expect("where they end");
    let new = format!("{before}{FIRST}{}{LAST}{after}", tables(&header));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, new).expect("it can be written");
        return;
    }
    let differs = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    assert!(
        old == new,
        "python/wasm_engine.py is not what the header declares: {differs:?}. Run UPDATE_GOLDEN=1 \
         cargo test --workspace --test capi, and read the difference"
    );
}
