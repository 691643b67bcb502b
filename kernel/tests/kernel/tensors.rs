//! Requests of tensors through a whole run: the module's bytes, the model, its reply in the inbox,
//! the log and what it gives again.

use std::{collections::BTreeMap, fs};

use wasm_engine::replay::{ReplayOptions, verify};
use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{ItemHeader, item};
use wasm_engine_abi::tensor::{SliceBuffer, TensorWriter};

use crate::models::{case, ready};
use crate::support::{
    Prog, prog,
    run::{Folder, SOURCE, base64, data, options, toml_string},
};
use wasm_engine::run::RunOptions;

const OUT: u32 = 0;
const OBSERVATION: u32 = 1;

/// A list of the one tensor that `write` writes.
fn list(write: impl FnOnce(&mut TensorWriter<SliceBuffer<'_>>)) -> Vec<u8> {
    let mut bytes = [0; 256];
    let mut list = TensorWriter::over(&mut bytes).expect("room");
    write(&mut list);
    let len = list.finish();
    bytes[..len].to_vec()
}

/// Asks with `request` at each input and publishes each reply but the first one as it is in the
/// inbox.
fn asking(request: &[u8]) -> Prog {
    let on_input = prog().infer_tensors(0, request);
    let on_reply = prog().echo(OUT);
    prog().subscribe(OBSERVATION).on(item::INPUT, &on_input).on(item::REPLY, &on_reply)
}

fn folder(model: &str, keys: &str, agents: &[(&str, Vec<u8>)]) -> Folder {
    let agents: String = agents
        .iter()
        .map(|(name, request)| {
            let args = toml_string(&asking(request).args());
            let module = "module = \"agent.wasm\"\ngrant = \"declared\"";
            format!("[[agent]]\nname = \"{name}\"\n{module}\nargs = {args}\n")
        })
        .collect();
    let config = format!(
        "[limits]\nagents_max = 8\nmemory_bytes_max = 131072\n[log]\nsync = \"none\"\n{SOURCE}\n\
         {agents}[[topic]]\nname = \"out\"\n[[output]]\ntopic = \"out\"\n\
         [[model]]\nname = \"m\"\nfile = \"model.onnx\"\n{keys}\n"
    );
    let folder = Folder::with(&config, &data(3));
    fs::write(folder.path("model.onnx"), case(model)).expect("written");
    folder
}

/// A reply as an agent has it: its status, the length of its payload, and as much of that as the
/// agent of these tests publishes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Reply {
    code: i32,
    len: usize,
    begin: Vec<u8>,
}

impl Reply {
    fn of(code: Status, payload: &[u8]) -> Self {
        let begin = payload[..payload.len().min(64)].to_vec();
        Self { code: code as i32, len: payload.len(), begin }
    }
}

/// The replies of each agent.
fn replies(folder: &Folder) -> BTreeMap<String, Vec<Reply>> {
    let mut replies: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let lines = fs::read_to_string(folder.path("log").join("outputs.jsonl")).expect("outputs");
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let bytes = base64(&text(&line["payload"]["base64"]));
        let (header, payload) = bytes.split_at(size_of::<ItemHeader>());
        let header: ItemHeader = bytemuck::pod_read_unaligned(header);
        if header.kind == item::REPLY {
            let from = text(&line["from"]);
            let from = from.trim_end_matches("/0").to_owned();
            replies.entry(from).or_default().push(Reply {
                code: header.code,
                len: header.len as usize,
                begin: payload.to_vec(),
            });
        }
    }
    replies
}

#[test]
fn i1_6_i3_3_tensors_go_to_a_model_and_back_and_a_replay_has_them_without_it() {
    if !ready() {
        return;
    }
    // Arguments are text, so no byte is above 127.
    let ids = [0x7f6f_5f4f_3f2f_1f0f, 0, 7, (1_i64 << 53) + 1];
    let agents = [
        ("one", list(|list| list.tensor(0, &[1, 4], &ids).expect("room"))),
        ("two", list(|list| list.tensor(0, &[2, 4], &[3_i64; 8]).expect("room"))),
        ("none", list(|list| list.tensor(0, &[0, 4], &[] as &[i64]).expect("room"))),
        ("wrong", list(|list| list.tensor(0, &[1, 4], &[3_i32; 4]).expect("room"))),
        ("noise", b"no list of tensors".to_vec()),
    ];
    let folder = folder("in_i64", "dims = { N = 2 }", &agents);
    let run = |workers, log: Option<&str>| {
        let log_dir = log.map(|log| folder.path(log));
        folder.run(RunOptions { workers: Some(workers), log_dir, ..options() }).expect("it runs")
    };
    let report = run(0, Some("log"));
    assert_eq!((report.faults, report.inferences), (0, 45));
    assert_eq!((run(1, None).digest, run(2, None).digest), (report.digest, report.digest));
    let replies = replies(&folder);
    let floats = |rows: u64, values: &[f32]| {
        Reply::of(Status::Ok, &list(|list| list.tensor(0, &[rows, 4], values).expect("room")))
    };
    let mismatch = |text: &str| Reply::of(Status::Mismatch, text.as_bytes());
    for (agent, reply) in [
        ("one", floats(1, &ids.map(|id| id as f32))),
        ("two", floats(2, &[3.0; 8])),
        ("none", floats(0, &[])),
        ("wrong", mismatch("input `x` is i32[1, 4], it takes i64[N <= 2, 4]")),
        ("noise", mismatch("the list of tensors is malformed at byte 0: it has another version")),
    ] {
        // The first of the nine says where to publish the others.
        assert_eq!(replies[agent], vec![reply; 8], "{agent}");
    }
    // The log alone gives it again, and computed again it is the same.
    for recompute in [false, true] {
        let options = ReplayOptions { recompute, ..ReplayOptions::default() };
        let verified = verify(&folder.path("log"), options).expect("it verifies");
        assert_eq!((verified.divergence, verified.run.digest), (None, report.digest));
    }
}

#[test]
fn i1_6_a_sequence_comes_back_as_one() {
    if !ready() {
        return;
    }
    let request = list(|list| list.tensor(0, &[2, 4], &[2.0_f32; 8]).expect("room"));
    let folder = folder("seq_out", "dims = { N = 2 }", &[("a", request)]);
    let log_dir = Some(folder.path("log"));
    folder.run(RunOptions { log_dir, ..options() }).expect("it runs");
    let sequence = list(|list| {
        list.sequence(0, 4).expect("room");
        for _ in 0..4 {
            list.tensor(0, &[2, 1], &[2.0_f32; 2]).expect("room");
        }
    });
    assert_eq!(replies(&folder)["a"][0], Reply::of(Status::Ok, &sequence));
}
