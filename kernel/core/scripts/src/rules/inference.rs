//! Inference (I).

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::item;
use wasm_engine_abi::record::FactHeader;
use wasm_engine_abi::tensor::RequestForm;
use wasm_engine_core::{FactsBuilder, OpenError};

use crate::{Machine, Rig, Scene, at, prog, reply_to, rules::payloads, to};

pub fn i1_1_i1_2_replies_come_at_t_plus_l_in_request_order_over_all_models<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.model("slow", 3);
    scene.model("quick", 2);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().infer(0, b"0001").infer(0, b"0002"));
    rig.tell(1, prog().infer(0, b"0003"));
    rig.tick();
    rig.tell(0, prog().infer(1, b"0004"));
    rig.settle(9);
    let order: Vec<_> = rig.sink.requests.iter().map(|(r, _)| (r.number, r.tick, r.due)).collect();
    assert_eq!(order, [(0, 1, 4), (1, 1, 4), (2, 1, 4), (3, 2, 4)]);
    let replies = rig.seen_kind(at(0), item::REPLY);
    assert_eq!(payloads(&replies), [b"1000", b"2000", b"4000"]);
    assert!(replies.iter().all(|s| (s.tick, s.header.code) == (4, 0)));
    assert_eq!(payloads(&rig.seen_kind(at(1), item::REPLY)), [b"3000"]);
    assert_eq!(rig.core().requests_pending(), 0);
}

pub fn l6_4_missing_unexpected_and_swapped_replies_are_refused<M: Machine>() {
    type Facts = Vec<(FactHeader, Vec<u8>)>;
    let facts = |change: &dyn Fn(&mut Facts), tick: u64| {
        let mut scene = Scene::of(1);
        scene.model("m", 2);
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.tell(0, prog().infer(0, b"0001").infer(0, b"0002"));
        rig.tick();
        rig.tick();
        let mut due = Vec::new();
        rig.core().requests_due(3, &mut due);
        let mut replies: Vec<_> = due.iter().map(|r| (reply_to(r), b"row1".to_vec())).collect();
        change(&mut replies);
        let mut builder = FactsBuilder::default();
        builder.begin(tick);
        replies.iter().for_each(|(header, row)| builder.push(*header, row));
        rig.feed(builder.finish())
    };
    assert!(facts(&|_| (), 3).is_ok());
    type Replies = Vec<(FactHeader, Vec<u8>)>;
    let missing = facts(&|r: &mut Replies| drop(r.pop()), 3);
    assert!(
        matches!(missing, Err(OpenError::MissingReply { tick: 3, agent, .. }) if agent == at(0))
    );
    let swapped = facts(&|r: &mut Replies| r.swap(0, 1), 3);
    assert!(matches!(swapped, Err(OpenError::UnexpectedReply { .. })));
    let twice = facts(&|r: &mut Replies| r.push(r[1].clone()), 3);
    assert!(matches!(twice, Err(OpenError::UnexpectedReply { .. })));
    let other = facts(&|r: &mut Replies| r[0].0.c = 5, 3);
    assert!(matches!(other, Err(OpenError::UnexpectedReply { .. })));
    let longer = facts(&|r: &mut Replies| r[1].1 = vec![0; 513], 3);
    assert!(matches!(longer, Err(OpenError::Exceeds { tick: 3, .. })));
    let agent = facts(&|r: &mut Replies| r[0].0.a = to(7), 3);
    assert!(matches!(agent, Err(OpenError::UnexpectedReply { agent, .. }) if agent == at(7)));
}

pub fn a4_2_i1_3_i1_4_i3_1_a_full_kernel_and_a_failed_model_are_replies<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model("m", 1);
    scene.limits().inferences_pending_max = 2;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().infer(0, b"0001").infer(0, b"0002").infer(0, b"0003").infer(0, b"long!"));
    rig.tick();
    assert_eq!(rig.code(0), 0, "the refusal came in a later turn than the bad length");
    let refused = rig.seen_kind(at(0), item::REPLY);
    assert_eq!((refused.len(), refused[0].header.code), (1, Status::KernelFull as i32));
    let mut facts = FactsBuilder::default();
    facts.begin(2);
    let mut due = Vec::new();
    rig.core().requests_due(2, &mut due);
    assert_eq!(due.len(), 2);
    for request in &due {
        let code = Status::ModelFailed as i32;
        facts.push(FactHeader { code, ..reply_to(request) }, b"");
    }
    rig.feed(facts.finish()).expect("failed replies are facts");
    let codes: Vec<_> = rig.seen_kind(at(0), item::REPLY).iter().map(|s| s.header.code).collect();
    assert_eq!(codes[1..], [Status::ModelFailed as i32; 2]);
    rig.tell(0, prog().infer(0, b"0001").infer(0, b"0002"));
    rig.settle(5);
    assert_eq!(rig.seen_kind(at(0), item::REPLY).len(), 5, "the places are free again");
}

pub fn i1_5_bytes_of_a_request_count_until_its_reply_is_due<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.model("m", 2);
    scene.limits().inference_bytes_pending_max = 8;
    scene.limits().inferences_pending_max = 4;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().infer(0, b"0001").infer(0, b"0002"));
    rig.tick();
    rig.tell(0, prog().pause(to(1)).infer(0, b"0003"));
    rig.tick();
    let codes = |rig: &Rig<M>| -> Vec<_> {
        rig.seen_kind(at(0), item::REPLY).iter().map(|seen| seen.header.code).collect()
    };
    assert_eq!(codes(&rig), [Status::KernelFull as i32]);
    // Tick 3 delivers both replies. Nobody received them, so they count, but not their bytes.
    rig.tell(0, prog().infer(0, b"0004").infer(0, b"0005"));
    rig.tick();
    assert_eq!(codes(&rig).len(), 1);
    assert_eq!(rig.core().requests_pending(), 4);
    rig.tell(0, prog().infer(0, b"0006"));
    rig.tick();
    assert_eq!(codes(&rig), [Status::KernelFull as i32; 2]);
}

pub fn a1_4_i1_6_requests_have_a_quota_of_their_own_and_a_list_is_bounded_by_its_model<
    M: Machine,
>() {
    let mut scene = Scene::of(1);
    scene.model("m", 1);
    scene.setup.models[0].request_bytes_max = 64;
    scene.limits().inference_bytes_max = 128;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // A message takes nothing of the quota of requests.
    let list = [7; 64];
    rig.tell(0, prog().send(to(0), &[1; 640]).infer(0, b"0001").infer_tensors(0, &list));
    rig.tick();
    assert_eq!((rig.code(0), rig.core().requests_pending()), (0, 2));
    let mut due = Vec::new();
    rig.core().requests_due(2, &mut due);
    let forms: Vec<_> = due.iter().map(|request| (request.form, request.len)).collect();
    assert_eq!(forms, [(RequestForm::Row, 4), (RequestForm::Tensors, 64)]);
    rig.settle(3);
    // One byte more than the model takes, then more than the quota.
    rig.tell(0, prog().infer_tensors(0, &[7; 65]));
    rig.tick();
    assert_eq!(rig.code(0), -(Status::Invalid as i32));
    let three = prog().infer_tensors(0, &list).infer_tensors(0, &list).infer_tensors(0, b"");
    rig.tell(0, three.infer_tensors(0, b"1"));
    rig.tick();
    assert_eq!(rig.code(0), -(Status::Quota as i32));
}

pub fn i1_7_room_for_a_reply_is_reserved_until_it_was_received<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.model("m", 2);
    scene.setup.models[0].reply_bytes_max = 1000;
    // For two replies of 1,000 bytes, in whole blocks.
    scene.limits().inference_reply_bytes_pending_max = 2048;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().infer(0, b"0001").infer(0, b"0002"));
    rig.tick();
    rig.tell(0, prog().pause(to(1)));
    rig.tick();
    // Tick 3 delivers both replies, which wait for the paused agent.
    rig.tick();
    rig.tell(0, prog().resume(to(1)).infer(0, b"0003"));
    rig.tick();
    let codes = |rig: &Rig<M>| -> Vec<_> {
        rig.seen_kind(at(0), item::REPLY).iter().map(|seen| seen.header.code).collect()
    };
    assert_eq!(codes(&rig), [Status::KernelFull as i32]);
    rig.tell(0, prog().infer(0, b"0004").infer(0, b"0005"));
    rig.settle(9);
    assert_eq!(codes(&rig)[1..], [0, 0], "they were received, so there is room again");
}

pub fn i3_3_what_a_request_is_not_is_said_by_its_reply<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model("m", 1);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().infer_tensors(0, b"no list of tensors"));
    rig.tick();
    let mut due = Vec::new();
    rig.core().requests_due(2, &mut due);
    let (header, why) = (reply_to(&due[0]), b"input `x` is missing");
    rig.facts.begin(2);
    rig.facts.push(FactHeader { code: Status::Mismatch as i32, ..header }, why);
    let facts = rig.facts.finish().to_vec();
    rig.feed(&facts).expect("a reply");
    let reply = &rig.seen_kind(at(0), item::REPLY)[0];
    assert_eq!((reply.header.code, &reply.payload[..]), (Status::Mismatch as i32, &why[..]));
}
