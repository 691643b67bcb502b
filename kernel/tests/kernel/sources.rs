//! Inputs as people have them: tables of many shapes, JSON lines, folders of files, and what is
//! refused with which words.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::{
    ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest,
};
use tempfile::TempDir;
use wasm_engine::{
    config::Config,
    exit::{Exit, HasExitCode},
    replay::{ReplayOptions, verify},
    report::RunReport,
    resolve::resolve,
    sources::Source,
};
use wasm_engine_abi::input::FileHeader;

use crate::support::run::{Folder, SOURCE, config};

/// The smallest configuration of a table.
const TABLE: &str = "id = 's'\ntopic = 'in/{key}'\nkey = 'k'\ntime = 't'\nperiod_s = 60\n";
/// And of JSON lines.
const LINES: &str = "id = 's'\ntopic = 'in/{key}'\nfile = 'data.jsonl'\n";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/fixtures/tables")
}

/// The source that `keys` describe, of files in `folder`, or what is wrong.
fn source(folder: &Path, keys: &str) -> Result<Source, String> {
    let text = format!("[[source]]\n{keys}\n");
    let config = Config::parse(&folder.join("run.toml"), &text, &[]).map_err(|e| e.to_string())?;
    let source = &config.source[0];
    Source::read(source, &config.path(source.location())).map_err(|error| {
        assert_eq!(error.exit(), Exit::Usage);
        error.to_string()
    })
}

/// The same of one file of this content.
fn of(name: &str, content: impl AsRef<[u8]>, keys: &str) -> Result<Source, String> {
    let dir = TempDir::new().expect("a folder");
    fs::write(dir.path().join(name), content).expect("written");
    source(dir.path(), keys)
}

fn table(content: impl AsRef<[u8]>, more: &str) -> Result<Source, String> {
    of("data.csv", content, &format!("{TABLE}file = 'data.csv'\n{more}"))
}

fn lines(content: impl AsRef<[u8]>, more: &str) -> Result<Source, String> {
    of("data.jsonl", content, &format!("{LINES}{more}"))
}

/// (tick, name of the stream, payload) of every input, found through `next_due`.
fn inputs(source: &Source) -> Vec<(u64, String, Vec<u8>)> {
    let (mut all, mut tick, mut scratch) = (Vec::new(), 0, Vec::new());
    while let Some(next) = source.next_due(tick) {
        assert!(next > tick, "ticks rise");
        assert_eq!(source.first_seq(next), all.len() as u64);
        source.inputs_at(next, &mut scratch, |due| {
            assert_eq!(due.seq, all.len() as u64);
            all.push((next, source.stream_name(due.stream), due.payload.to_vec()));
        });
        tick = next;
    }
    assert_eq!((source.last_tick(), source.first_seq(u64::MAX)), (tick, all.len() as u64));
    all
}

/// The time and the numbers of a payload of a table.
fn numbers(payload: &[u8]) -> (i64, Vec<f64>) {
    let time = i64::from_le_bytes(payload[..8].try_into().expect("eight"));
    let count = u32::from_le_bytes(payload[12..16].try_into().expect("four"));
    let values = payload[16..].chunks(8).map(|c| f64::from_le_bytes(c.try_into().expect("eight")));
    let values: Vec<f64> = values.collect();
    assert_eq!(values.len(), count as usize);
    (time, values)
}

/// (tick, stream, time, first value) of the rows of a table, with NaN as -1.
fn rows(source: &Source) -> Vec<(u64, String, i64, f64)> {
    let row = |(tick, name, payload): (u64, String, Vec<u8>)| {
        let (time, values) = numbers(&payload);
        (tick, name, time, if values[0].is_nan() { -1.0 } else { values[0] })
    };
    inputs(source).into_iter().map(row).collect()
}

fn refuses(read: Result<Source, String>, parts: &[&str]) {
    let message = read.map(|source| source.id().to_owned()).expect_err("a refusal");
    for part in parts {
        assert!(message.contains(part), "{message:?} does not name {part:?}");
    }
    assert!(!message.contains('\n'), "{message:?} has one line");
}

/// 2024-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_704_067_200;

/// Every file in the folder has its right value here; one that is new there is missed.
#[test]
fn tables_as_they_are_found_have_their_right_values() {
    let floor = "off_grid = 'floor'";
    let all = "off_grid = 'floor'\nrepeats = 'keep'";
    let one = |key, value| vec![(1, key, 0, value)];
    let mut seen = Vec::new();
    for (file, more, expected) in [
        ("quotes.csv", "", one("A", 1.5)),
        ("quoted_value.csv", "", one("A", 1.5)),
        ("time_epoch.csv", "", one("A", 1.5)),
        ("time_offz.csv", "", one("A", 1.5)),
        ("time_fraczero.csv", "", one("A", 1.5)),
        ("time_space.csv", "", one("A", 1.5)),
        ("num_nan.csv", "", one("A", -1.0)),
        ("num_na.csv", "", one("A", -1.0)),
        ("text_col.csv", "columns = ['v']", one("A", 1.5)),
        ("spaces.csv", "", one("A", 1.5)),
        ("trailing_blank.csv", "", one("A", 1.0)),
        ("sametick.csv", all, vec![(1, "A", 0, 1.0), (1, "A", 30, 2.0), (1, "A", 59, 3.0)]),
        ("offgrid.csv", floor, vec![(1, "A", 10, 1.0), (2, "A", 65, 2.0), (3, "A", 130, 3.0)]),
        ("dup.csv", "repeats = 'keep'", vec![(1, "A", 0, 1.0), (1, "A", 0, 2.0)]),
        ("key_space.csv", "", one("New%20York", 1.0)),
        ("key_slash.csv", "", one("US%2FNY", 1.0)),
        ("two_a.csv", "", vec![(1, "A", 0, 1.0), (2, "A", 60, 2.0), (3, "A", 120, 3.0)]),
        ("two_b.csv", "", vec![(1, "B", 60, 10.0), (2, "B", 120, 20.0)]),
    ] {
        let keys = format!("{TABLE}file = '{file}'\n{more}");
        let read = source(&fixtures(), &keys).unwrap_or_else(|error| panic!("{error}"));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(tick, key, s, value)| (tick, key.to_owned(), NEW_YEAR + s, value))
            .collect();
        assert_eq!(rows(&read), expected, "{file}");
        seen.push(file);
    }
    for (file, parts) in [
        ("text_col.csv", &["line 2", "`name`", "`hello`", "source.s.columns"][..]),
        ("sametick.csv", &["line 3", "30 s", "source.s.off_grid = \"floor\""]),
        ("offgrid.csv", &["line 3", "55 s", "source.s.off_grid = \"floor\""]),
        ("dup.csv", &["line 3", "`k`", "`A`", "source.s.repeats = \"keep\""]),
        ("empty.csv", &["it is empty"]),
    ] {
        refuses(source(&fixtures(), &format!("{TABLE}file = '{file}'")), parts);
        seen.push(file);
    }
    for entry in fs::read_dir(fixtures()).expect("the fixtures") {
        let name = entry.expect("an entry").file_name().into_string().expect("text");
        assert!(seen.contains(&name.as_str()) || name == "README.md", "{name} has no right value");
    }
}

#[test]
fn a_table_is_read_as_the_configuration_says() {
    let text = "\u{feff}# from the depot\n\n\
        k; \"t\" ;v;w;note\r\n \"A\" ;01.02.2024 06:00; 1.5 ;-;\"x;\ny\"\r\n# later\r\n\
        B;01.02.2024 07:00;n/a;2;\r\n;;;;\r\n";
    let more = "delimiter = ';'\ncomment = '#'\nmissing = ['n/a', '-']\ncolumns = ['w', 'v']\n\
        time_format = '%d.%m.%Y %H:%M'\ntime_offset = '+01:00'";
    let read = table(text, more).expect("it is as described");
    assert_eq!(read.columns(), ["w", "v"], "in the order in which they are named");
    let all = inputs(&read);
    let six = 1_706_763_600;
    let (time, values) = numbers(&all[0].2);
    assert_eq!((all[0].0, all[0].1.as_str(), time, values[1]), (1, "A", six, 1.5));
    assert_eq!(values[0].to_bits(), 0x7ff8_0000_0000_0000);
    let (time, values) = numbers(&all[1].2);
    assert_eq!((all[1].0, time, values[0]), (61, six + 3600, 2.0));
    assert!(values[1].is_nan() && all.len() == 2);
    // A tab, by the ending; no key, one stream; milliseconds; no column at all.
    let text = "t\tv\n1704067200000\t1\n1704067260000\t2\n";
    let keys = "id = 's'\nfile = 'data.tsv'\ntopic = 'in/{key}'\ntime = 't'\nperiod_s = 60\n\
        time_unit = 'ms'\n";
    let read = of("data.tsv", text, keys).expect("a table");
    let expected = [(1, "s".to_owned(), NEW_YEAR, 1.0), (2, "s".to_owned(), NEW_YEAR + 60, 2.0)];
    assert_eq!(rows(&read), expected);
    let read = of("data.tsv", text, &format!("{keys}columns = []")).expect("a table");
    assert_eq!(inputs(&read)[1].2.len(), 16);
    // Fields that nobody wants may be anything.
    let read = table(b"k,t,v,x,x\nA,2024-01-01,1,\xff,\n", "columns = ['v']").expect("a table");
    assert_eq!(rows(&read), [(1, "A".to_owned(), NEW_YEAR, 1.0)]);
    // Behind the last column nothing is no field too many.
    assert!(table("k,t,v\nA,2024-01-01,1,,\n", "").is_ok());
}

#[test]
fn what_is_bad_is_named_with_line_column_value_and_cure() {
    let row = "A,2024-01-01T00:00:00Z,1\n";
    let below = |more: &str| format!("# c\nk,t,v\n{row}\n# c\n\n{more}");
    for (text, parts) in [
        (below("A,yesterday,1\n"), &["line 7", "`t`", "`yesterday`", "time_format"][..]),
        (below("A,1704067260000,1\n"), &["line 7", "`t`", "`1704067260000`", "time_unit"]),
        (below("A,2024-01-01T00:01:00.5Z,1\n"), &["line 7", "between two seconds", "floor"]),
        (below("A,2024-01-01T00:01:00Z,1;5\n"), &["line 7", "`v`", "`1;5`", "missing"]),
        (below(",2024-01-01T00:01:00Z,1\n"), &["line 7", "`k`", "no key"]),
        (below("A,2024-01-01T00:01:00Z\n"), &["line 7", "2 fields", "has 3"]),
        (below("A,2024-01-01T00:01:00Z,1,2\n"), &["line 7", "4 fields", "has 3"]),
        (below("A,2024-01-01T00:01:00Z,\"1\nB,2\nC\n"), &["line 7", "quotation mark"]),
        ("k;t;v\nA;2024-01-01;1\n".to_owned(), &["no column `k`", "delimiter = \";\""]),
        ("k,t,v,v\nA,2024-01-01,1,2\n".to_owned(), &["name of another", "source.s.columns"]),
        (",k,t,v\n0,A,2024-01-01,1\n".to_owned(), &["no name", "source.s.columns"]),
        ("\n\n".to_owned(), &["is empty"]),
        ("k,t,v\n".to_owned(), &["no rows"]),
    ] {
        let mut all = vec!["`s`", "data.csv"];
        all.extend_from_slice(parts);
        refuses(table(text, "comment = '#'"), &all);
    }
    refuses(table(b"k,t,v\nA\xff,2024-01-01,1\n", ""), &["line 2", "`k`", "UTF-8"]);
    refuses(table(b"\xff\xfek\0,\0t\0", ""), &["UTF-16"]);
    let long = format!("k,t,v\n{},2024-01-01,1\n", " x".repeat(60));
    refuses(table(long, ""), &["line 2", "237 bytes", "128"]);
    let more = "comment = '#'\ncolumns = ['v', 'w']";
    refuses(table(below(""), more), &["no column `w`", "source.s.columns"]);
}

#[test]
fn keys_that_say_nothing_about_a_kind_are_refused() {
    for (keys, parts) in [
        (format!("{TABLE}file = 'a.txt'"), &["source.s.kind", "\"csv\""][..]),
        (format!("{TABLE}kind = 'csv'"), &["source.s.file", "missing"]),
        (format!("{TABLE}file = 'a.csv'\nfolder = 'a'"), &["source.s.file", "files"]),
        (format!("{TABLE}file = 'a.csv'\npayload = 'text'"), &["source.s.payload"]),
        (format!("{TABLE}file = 'a.csv'\ndelimiter = '::'"), &["source.s.delimiter", "::"]),
        (format!("{TABLE}file = 'a.csv'\ncomment = ','"), &["source.s.comment"]),
        (format!("{TABLE}file = 'a.csv'\ncolumns = ['v', 'v']"), &["source.s.columns", "twice"]),
        (format!("{TABLE}file = 'a.csv'\ntime_unit = 's'\ntime_format = '%s'"), &["time_unit"]),
        (LINES.to_owned(), &["source.s.payload", "missing", "base64"]),
        (format!("{LINES}payload = 'bytes'"), &["source.s.payload", "base64"]),
        (format!("{LINES}payload = 'text'\ncopies = 2"), &["source.s.copies", "csv"]),
        (format!("{LINES}payload = 'text'\nrepeats = 'keep'"), &["source.s.repeats", "csv"]),
        ("id = 's'\ntopic = 't'\nfolder = 'a'\ntime = 't'".to_owned(), &["source.s.time"]),
        ("id = 's'\ntopic = 't'\nfolder = 'a'\nper_tick = 0".to_owned(), &["per_tick", "at least"]),
        (
            "id = 's'\ntopic = 't'\nfolder = 'a'\npayload = 'bytes'\nhead_bytes = 1".to_owned(),
            &["source.s.payload", "head_bytes"],
        ),
    ] {
        refuses(source(Path::new("nowhere"), &keys), parts);
    }
    let table = |more: &str| source(&fixtures(), &format!("{TABLE}file = 'dup.csv'\n{more}"));
    refuses(table("time_format = '%H:%M'"), &["source.s.time_format", "%d.%m.%Y"]);
    refuses(table("time_format = '%F %T %Z'"), &["source.s.time_format", "time_offset"]);
    refuses(table("time_offset = 'Berlin'"), &["source.s.time_offset", "+02:00"]);
}

#[test]
fn bad_rows_are_skipped_and_counted_on_request() {
    let text = "k,t,v\nB,soon,1\nA,2024-01-01T00:00:00Z,1\nC,2024-01-01T00:01:00Z,x\n\
        A,2024-01-01T00:01:00Z\nA,2023-01-01T00:01:00Z,1\nA,2024-01-01T00:01:00Z,2\n";
    let read = table(text, "bad_rows = 'skip'").expect("some rows are good");
    let expected = [(1, "A".to_owned(), NEW_YEAR, 1.0), (2, "A".to_owned(), NEW_YEAR + 60, 2.0)];
    assert_eq!(rows(&read), expected);
    assert_eq!((read.left_out(), read.streams()), (4, 1), "bad rows name no stream");
    let none = table("k,t,v\nB,soon,1\n", "bad_rows = 'skip'");
    refuses(none, &["all its 1 rows are bad", "line 2", "`soon`"]);
    // What swallows all rows behind it is no bad row.
    let open = format!("{text}A,2024-01-01T00:02:00Z,\"3\nA,2024-01-01T00:03:00Z,4\n");
    refuses(table(open, "bad_rows = 'skip'"), &["line 8", "quotation mark"]);
    let text = "{}\n{\"tick\": 2, \"payload\": \"a\"}\nnot\n{\"tick\": 1, \"payload\": \"b\"}\n";
    let read = lines(text, "payload = 'text'\nbad_rows = 'skip'").expect("one line is good");
    assert_eq!((inputs(&read), read.left_out()), (vec![(2, "s".to_owned(), b"a".to_vec())], 3));
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn packed_files_are_read_as_what_is_in_them() {
    let text = "k,t,v\nA,2024-01-01,1\n";
    let keys = format!("{TABLE}file = 'data.csv.gz'");
    let read = of("data.csv.gz", packed(text.as_bytes()), &keys).expect("a table");
    let plain = table(text, "").expect("a table");
    assert_eq!((rows(&read), read.hash()), (rows(&plain), plain.hash()));
    let torn = packed(text.as_bytes());
    refuses(of("data.csv.gz", &torn[..20], &keys), &["data.csv.gz", "no whole gzip file"]);
    let keys = "id = 's'\ntopic = 't'\nfile = 'a.ndjson.gz'\npayload = 'json'";
    let line = b"{\"tick\": 7, \"payload\": {\"b\": 1.0, \"a\": \" \"}}";
    let read = of("a.ndjson.gz", packed(line), keys).expect("a line");
    assert_eq!(inputs(&read), [(7, "s".to_owned(), b"{\"b\":1.0,\"a\":\" \"}".to_vec())]);
}

#[test]
fn json_lines_become_what_their_payload_is_declared_to_be() {
    let one = |payload: &str, form: &str| {
        let read = lines(format!("{{\"tick\": 1, \"payload\": {payload}}}"), form);
        read.map(|read| inputs(&read).remove(0).2)
    };
    for (form, payload, expected) in [
        ("text", "\"h\\u00e9\\n\"", "h\u{e9}\n".as_bytes()),
        ("text", "\"\"", b""),
        (
            "json",
            "[1, 2.50, {\"z\": null, \"a\": \"b c\"}]",
            b"[1,2.50,{\"z\":null,\"a\":\"b c\"}]",
        ),
        ("hex", "\"00fF\"", b"\x00\xff"),
        ("base64", "\"AAH/\"", b"\x00\x01\xff"),
    ] {
        let bytes = one(payload, &format!("payload = '{form}'"));
        assert_eq!(bytes.as_deref(), Ok(expected), "{form} {payload}");
    }
    let bytes = one("[1, null, -2.5]", "payload = 'f64'").expect("numbers");
    let (time, values) = numbers(&bytes);
    assert_eq!((time, values[0], values[2], bytes.len()), (0, 1.0, -2.5, 40));
    assert_eq!(values[1].to_bits(), 0x7ff8_0000_0000_0000);
    for (form, payload, cure) in [
        ("text", "1", "quotation marks"),
        ("hex", "\"0\"", "two digits"),
        ("base64", "\"AAH\"", "padding"),
        ("f64", "[\"1\"]", "[1, 2.5, null]"),
        ("f64", "[1e999]", "[1, 2.5, null]"),
    ] {
        let form = format!("payload = '{form}'");
        let read = lines(format!("\n{{\"tick\": 1, \"payload\": {payload}}}"), &form);
        refuses(read, &["data.jsonl", "line 2", "`payload`", cure]);
    }
    // Depth costs no stack.
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let deep = one(&format!("{open}{close}"), "payload = 'json'").expect("well-formed");
    assert_eq!(deep.len(), 200_000);
    refuses(lines(&open, "payload = 'json'"), &["line 1", "no JSON object"]);
    let long = format!("{{\"tick\": 1, \"payload\": \"{}\"}}", "x".repeat(1 << 21));
    refuses(lines(long, "payload = 'text'"), &["line 1", "2097152 bytes", "1048576"]);
}

#[test]
fn t7_1_lines_enter_at_their_tick_or_time_by_key() {
    let text = "{\"tick\":2,\"key\":\"b/1\",\"payload\":1}\n{\"tick\":2,\"key\":7,\"payload\":2}\n\
        {\"payload\":3,\"tick\":5,\"other\":[],\"key\":\"b/1\"}\n";
    let read = lines(text, "payload = 'json'").expect("lines");
    let of = |tick, name: &str, text: &str| (tick, name.to_owned(), text.as_bytes().to_vec());
    assert_eq!(inputs(&read), [of(2, "b%2F1", "1"), of(2, "7", "2"), of(5, "b%2F1", "3")]);
    assert_eq!(read.stream_topics("in/{key}"), ["in/b%2F1", "in/7"]);
    let text = "{\"ts\":\"2024-01-01 00:00\",\"at\":\"a\",\"payload\":[1]}\n\
        {\"ts\":1704067325,\"at\":\"b\",\"payload\":[2]}\n";
    let more = "time = 'ts'\nkey = 'at'\nperiod_s = 60\npayload = 'f64'\noff_grid = 'floor'";
    let read = lines(text, more).expect("lines");
    let expected = [(1, "a".to_owned(), NEW_YEAR, 1.0), (3, "b".to_owned(), NEW_YEAR + 125, 2.0)];
    assert_eq!(rows(&read), expected);
    for (text, more, parts) in [
        ("[1]", "", &["line 1", "no JSON object", "one object a line"][..]),
        ("{\"tick\":0,\"payload\":1}", "", &["line 1", "`tick`", "`0`", "from 1"]),
        ("{\"tick\":1.5,\"payload\":1}", "", &["`1.5`"]),
        ("{\"tick\":4611686018427387905,\"payload\":1}", "", &["2^62"]),
        ("{\"tick\":1}", "", &["`payload`"]),
        ("{\"tick\":1,\"tick\":2,\"payload\":1}", "", &["second member"]),
        ("{\"tick\":2,\"payload\":1}\n{\"tick\":1,\"payload\":1}", "", &["line 2", "sort"]),
        ("{\"tick\":1,\"key\":[],\"payload\":1}", "", &["`key`", "text or a number"]),
        ("{\"tick\":1,\"payload\":1}", "key = 'at'", &["`at`", "source.s.key"]),
        ("{\"time\":\"2024-01-01\",\"payload\":1}", "", &["`time`", "source.s.period_s"]),
        (
            "{\"time\":\"2024-01-01\",\"payload\":1}\n{\"tick\":1,\"payload\":1}",
            "period_s = 60",
            &["line 2", "one of `tick` and `time`"],
        ),
        ("", "", &["is empty"]),
    ] {
        let mut all = vec!["`s`", "data.jsonl"];
        all.extend_from_slice(parts);
        refuses(lines(text, &format!("payload = 'json'\n{more}")), &all);
    }
}

/// A folder with three files, a folder and, where there are links, a link.
fn files() -> TempDir {
    let dir = TempDir::new().expect("a folder");
    let folder = dir.path().join("in");
    fs::create_dir_all(folder.join("a folder.bin")).expect("made");
    for (name, content) in [("b.bin", "0123456789"), ("a.bin", "xyz"), ("c.txt", "")] {
        fs::write(folder.join(name), content).expect("written");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link.bin")).expect("a link");
    dir
}

#[test]
fn a_folder_of_files_enters_in_the_order_of_names() {
    let dir = files();
    let keys = "id = 's'\ntopic = 'in/{key}'\nfolder = 'in'\n";
    let read = source(dir.path(), keys).expect("files");
    let of = |tick, text: &str| (tick, "files".to_owned(), text.as_bytes().to_vec());
    assert_eq!(inputs(&read), [of(1, "xyz"), of(2, "0123456789"), of(3, "")]);
    assert_eq!(read.left_out(), 1 + u64::from(cfg!(unix)));
    let read = source(dir.path(), &format!("{keys}per_tick = 2\nsuffix = '.bin'\nkey = 'a b'"));
    let ticks: Vec<_> = inputs(&read.expect("files")).into_iter().map(|i| (i.0, i.1)).collect();
    assert_eq!(ticks, [(1, "a%20b".to_owned()), (1, "a%20b".to_owned())]);
    // The beginning and the end, which overlap in a short file.
    let parts = format!("{keys}head_bytes = 4\ntail_bytes = 2\n");
    let read = source(dir.path(), &parts).expect("files");
    let all = inputs(&read);
    let header = |at: usize| bytemuck::pod_read_unaligned::<FileHeader>(&all[at].2[..24]);
    assert_eq!(header(0), FileHeader { len: 3, head: 3, tail: 2, name: 5, zero: 0 });
    assert_eq!(all[0].2[24..], *b"a.bin\0\0\0xyzyz");
    assert_eq!(header(1), FileHeader { len: 10, head: 4, tail: 2, name: 5, zero: 0 });
    assert_eq!(all[1].2[24..], *b"b.bin\x00\x00\x00012389");
    assert_eq!(header(2), FileHeader { len: 0, head: 0, tail: 0, name: 5, zero: 0 });
    // Other content, other data.
    fs::write(dir.path().join("in/b.bin"), "0123x56789").expect("written");
    assert_eq!(source(dir.path(), &parts).expect("files").hash(), read.hash(), "not what enters");
    fs::write(dir.path().join("in/b.bin"), "0123456780").expect("written");
    assert_ne!(source(dir.path(), &parts).expect("files").hash(), read.hash());
    fs::write(dir.path().join("in/b.bin"), vec![0; (1 << 20) + 1]).expect("written");
    refuses(source(dir.path(), keys), &["b.bin", "1048576", "source.s.head_bytes"]);
    assert!(source(dir.path(), &parts).is_ok());
    refuses(source(dir.path(), &format!("{keys}suffix = '.pdf'")), &["no plain file", ".pdf"]);
    refuses(source(&dir.path().join("in"), keys), &["cannot be read", "source.s.folder"]);
}

/// Runs with a log in parts and at once; both are the same and verify. Gives the report.
fn resumes(source: &str, name: &str, content: impl AsRef<[u8]>, break_at: u64) -> RunReport {
    let folder = Folder::with(&config("").replace(SOURCE, source), "");
    fs::create_dir_all(folder.path(name).parent().expect("a folder")).expect("made");
    fs::write(folder.path(name), content).expect("written");
    let whole = folder.logged("whole", None);
    folder.logged("parts", Some(break_at));
    let parts = folder.resumed("parts", None).expect("it goes on");
    assert_eq!((whole.digest, whole.inputs), (parts.digest, parts.inputs));
    for log in ["whole", "parts"] {
        let report = verify(&folder.path(log), ReplayOptions::default()).expect("a log");
        assert_eq!((report.divergence, report.run.digest), (None, whole.digest));
    }
    whole
}

#[test]
fn t7_1_l5_2_runs_on_lines_and_folders_are_resumed_and_replayed() {
    let head = "[[source]]\nid = 'weather'\ntopic = 'observation'\n";
    let mut text = String::new();
    for tick in 1..30 {
        let (key, value) = (["a", "b c"][tick % 2], tick * 7);
        writeln!(text, "{{\"tick\":{tick},\"key\":\"{key}\",\"payload\":[{value}]}}")
            .expect("text");
    }
    let keys = format!("{head}file = 'in.jsonl'\npayload = 'f64'\n");
    let report = resumes(&keys, "in.jsonl", text, 11);
    assert_eq!((report.inputs, report.rows_left_out.len()), (29, 0));
    let keys = format!("{head}folder = 'in'\nhead_bytes = 3\n");
    let report = resumes(&keys, "in/one", "content", 2);
    assert_eq!(report.inputs, 1);
    let keys = format!("{SOURCE}bad_rows = 'skip'\n");
    let text = "station,time,value\nA,2013-01-01,1\nA,2013-01-01,\nA,2013-01-02,2\n";
    let report = resumes(&keys, "data.csv", text, 2);
    assert_eq!(report.rows_left_out.into_iter().collect::<Vec<_>>(), [("weather".to_owned(), 1)]);
}

#[test]
fn a_run_is_not_resumed_with_tables_read_otherwise() {
    let source = format!("{SOURCE}missing = ['-']\n");
    let text = "station,time,value\nA,2013-01-01,1\nA,2013-01-02,-\n";
    let folder = Folder::with(&config("").replace(SOURCE, &source), text);
    folder.logged("log", Some(2));
    let other = config("").replace(SOURCE, &source.replace("'-'", "'-', 'x'"));
    fs::write(folder.path("run.toml"), other).expect("written");
    let error = folder.resumed("log", None).expect_err("another reading");
    assert!(error.to_string().contains("the way it is read"), "{error}");
}

/// Resolves a configuration with these sources and one agent.
fn resolved(
    folder: &Folder,
    sources: &str,
    sets: &[&str],
) -> Result<wasm_engine::resolve::Resolved, (Exit, String)> {
    let text = config("").replace(SOURCE, sources).replace("for_each = \"weather\"\n", "");
    fs::write(folder.path("run.toml"), text).expect("written");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let config = Config::load(&folder.path("run.toml"), &sets).expect("a configuration");
    resolve(&config).map_err(|error| (error.exit(), error.to_string()))
}

#[test]
fn t7_4_t7_7_sources_of_all_kinds_share_ticks_and_have_their_own_topics() {
    let folder = Folder::new(1);
    fs::write(folder.path("in.jsonl"), "{\"time\":\"2024-01-01T00:02:00Z\",\"payload\":1}\n")
        .expect("written");
    fs::write(folder.path("by.jsonl"), "{\"tick\":1,\"payload\":1}\n").expect("written");
    for name in ["two_a.csv", "two_b.csv"] {
        fs::copy(fixtures().join(name), folder.path(name)).expect("copied");
    }
    let table = |id: &str, file: &str| {
        format!(
            "[[source]]\nid = '{id}'\nfile = '{file}'\ntopic = 'in/{id}'\nkey = 'k'\ntime = 't'\n\
             period_s = 60\n"
        )
    };
    // By id they come in another order than here.
    let sources = table("z", "two_a.csv")
        + &table("b", "two_b.csv")
        + "[[source]]\nid = 'c'\nfile = 'in.jsonl'\npayload = 'json'\nperiod_s = 60\ntopic = \
           'in/c'\n[[source]]\nid = 'a'\nfile = 'by.jsonl'\npayload = 'json'\ntopic = 'in/a'\n";
    let run = resolved(&folder, &sources, &[]).expect("good");
    let ticks: Vec<_> = run
        .sources
        .iter()
        .map(|source| {
            let mut topics = Vec::new();
            let first = source.next_due(0).expect("an input");
            source.inputs_at(first, &mut Vec::new(), |due| topics.push(due.topic));
            (source.id(), first, run.setup.topics[topics[0] as usize].name.as_str())
        })
        .collect();
    // A row of 00:01 enters in tick 2, since the first time of all is 00:00; ticks are absolute.
    assert_eq!(ticks, [("a", 1, "in/a"), ("b", 2, "in/b"), ("c", 3, "in/c"), ("z", 1, "in/z")]);
}

#[test]
fn an_input_that_no_limit_allows_is_named_with_its_file() {
    let folder = Folder::new(1);
    let text = format!(
        "{{\"tick\":1,\"payload\":\"a\"}}\n{{\"tick\":1,\"payload\":\"{}\"}}\n",
        "x".repeat(70_000)
    );
    fs::write(folder.path("in.jsonl"), text).expect("written");
    let sources = "[[source]]\nid = 's'\nfile = 'in.jsonl'\npayload = 'text'\ntopic = 't'\n";
    let (exit, message) = resolved(&folder, sources, &[]).expect_err("it is too long");
    assert_eq!(exit, Exit::Refused);
    for part in ["`s`", "in.jsonl", "line 2", "limits.inbox_bytes_max"] {
        assert!(message.contains(part), "{message} does not name {part}");
    }
    assert!(resolved(&folder, sources, &["limits.inbox_bytes_max=131072"]).is_ok());
    fs::create_dir(folder.path("in")).expect("made");
    fs::write(folder.path("in/long"), vec![0; 70_000]).expect("written");
    let sources = "[[source]]\nid = 's'\nfolder = 'in'\ntopic = 't'\n";
    let (_, message) = resolved(&folder, sources, &[]).expect_err("it is too long");
    assert!(message.contains("in/long") || message.contains("in\\long"), "{message}");
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A field, written with quotes and spaces around it or without.
fn field(text: &str, quoted: bool, spaces: bool) -> String {
    let text = if quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() };
    if spaces && !quoted { format!(" {text} ") } else { text }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_bytes_are_a_source_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in "([AB],2024-01-0[12],[0-9x\"]{0,3},?\r?\n|\"|#|\n){0,8}",
        json in "(\\{|\\}|\"tick\":[0-9]|\"payload\":[0-9]|\"key\":\"a\"|,|\n| |\\[|\\\\|\"){0,30}",
        skip in any::<bool>(),
    ) {
        let skip = if skip { "bad_rows = 'skip'\n" } else { "" };
        let with_header = [b"k,t,v\n".as_slice(), &bytes].concat();
        let text = format!("k,t,v\n{text}");
        for content in [bytes.as_slice(), &with_header, text.as_bytes()] {
            for more in ["", "comment = '#'\nrepeats = 'keep'\noff_grid = 'floor'\ncopies = 3"] {
                if let Ok(read) = table(content, &format!("{skip}{more}")) {
                    prop_assert!(!inputs(&read).is_empty());
                }
            }
        }
        for content in [bytes.as_slice(), json.as_bytes()] {
            for form in ["text", "json", "hex", "base64", "f64"] {
                if let Ok(read) = lines(content, &format!("{skip}payload = '{form}'")) {
                    prop_assert!(!inputs(&read).is_empty());
                }
            }
        }
    }

    #[test]
    fn a_table_is_the_same_however_it_is_written(
        cells in prop::collection::vec(
            (any::<[bool; 6]>(), "[A-Za-z0-9 ,;|/\"\u{e9}]{1,8}".prop_map(|k| format!("x{k}x")),
             prop::option::of(-1e9..1e9)),
            1..12,
        ),
        delimiter in prop::sample::select(vec![",", ";", "|", "\\t"]),
        crlf in any::<bool>(),
    ) {
        let own = delimiter.replace("\\t", "\t");
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = ["t", "v", "k"].join(&own) + end;
        let mut expected = Vec::new();
        for (minute, (quoted, key, value)) in cells.iter().enumerate() {
            let time = format!("2024-01-01T00:{minute:02}:00Z");
            let number = value.map_or(String::new(), |value: f64| value.to_string());
            // A key with a quotation mark or a delimiter in it needs quotes.
            let fields = [
                field(&time, quoted[0], quoted[1]),
                field(&number, quoted[2], quoted[3]),
                field(key, true, false),
            ];
            text += &(fields.join(&own) + end);
            if quoted[4] {
                text += end;
            }
            expected.push((minute as i64 * 60 + NEW_YEAR, value.unwrap_or(-1.0)));
        }
        let read = table(&text, &format!("delimiter = \"{delimiter}\"")).expect("a table");
        let found: Vec<_> = rows(&read).into_iter().map(|row| (row.2, row.3)).collect();
        prop_assert_eq!(found, expected);
    }
}
