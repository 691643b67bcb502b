//! Makes the C header of `kernel/capi`, with cbindgen; the test beside it compares.

use std::path::{Path, PathBuf};

/// Files that declare something of C, in the order of the header.
const SOURCES: [&str; 7] =
    ["result.rs", "structs.rs", "general.rs", "builder.rs", "host.rs", "commands.rs", "tasks.rs"];

/// Arguments, and how C writes them.
const ARGUMENTS: [(&str, &str); 12] = [
    ("TextArg", "const char *"),
    ("BytesArg", "const void *"),
    ("CallerContext", "void *"),
    ("U64sArg", "const uint64_t *"),
    ("OutU64", "uint64_t *"),
    ("OutText", "const char **"),
    ("OutPoll", "we_host_poll *"),
    ("OutOutput", "we_host_output *"),
    ("OutOutcome", "we_host_outcome *"),
    ("OutTaskOutcome", "we_task_outcome *"),
    ("OutSnapshot", "we_host_snapshot *"),
    ("OutTickReport", "we_tick_report *"),
];

/// What no function names by its type.
const INCLUDED: [&str; 15] = [
    "we_result",
    "we_poll",
    "we_pending",
    "we_ending",
    "we_on_failure",
    "we_task_state",
    "we_host_poll",
    "we_host_output",
    "we_host_outcome",
    "we_task_outcome",
    "we_host_snapshot",
    "we_tick_report",
    "we_log_line",
    "we_fault",
    "we_host_stream",
];

/// What the header opens with.
const HEAD: &str = include_str!("../head.h");

/// Root of the library's package.
#[must_use]
pub fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The header that the sources declare.
///
/// # Panics
/// If they do not parse.
#[must_use]
pub fn header() -> String {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        header: Some(HEAD.trim_end().to_owned()),
        include_guard: Some("WASM_ENGINE_H".to_owned()),
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        usize_is_size_t: true,
        style: cbindgen::Style::Type,
        line_length: 100,
        tab_width: 4,
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        ..cbindgen::Config::default()
    };
    config.enumeration.rename_variants = cbindgen::RenameRule::QualifiedScreamingSnakeCase;
    config.export.include = INCLUDED.map(str::to_owned).into();
    let arguments = ARGUMENTS.map(|(rust, c)| (rust.to_owned(), c.to_owned()));
    config.export.rename = arguments.into_iter().collect();
    let sources = package().join("src");
    let builder = cbindgen::Builder::new().with_config(config);
    let builder = SOURCES.iter().fold(builder, |all, file| all.with_src(sources.join(file)));
    let mut bytes = Vec::new();
    builder.generate().expect("the sources parse").write(&mut bytes);
    let text = String::from_utf8(bytes).expect("UTF-8");
    // A renamed type is written with its star apart from the name, unlike the others.
    ARGUMENTS.iter().fold(text, |text, (_, c)| text.replace(&format!("{c} "), c))
}
