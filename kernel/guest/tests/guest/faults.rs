//! A fault says what happened: function, code or reason, host call, place in the module, advice.

use wasm_engine_abi::frame::{TurnCommand, fault, turn};
use wasm_engine_guest::FaultAccount;
use wasm_engine_setup::{Setup, Template};

use crate::rig::{BYTES_AT, Order, PROBE, Rig, naming, order, publishing, setup, wasm};

/// What is said of the fault that `orders` lead to.
fn account(rig: &mut Rig, orders: &[Order]) -> FaultAccount {
    let turn = rig.step(orders);
    assert_ne!(turn.result.fault, fault::NONE, "it must fault");
    let [account] = rig.lane.faults().take().try_into().expect("one account");
    assert_eq!((account.fault, account.command.position), (turn.result.fault, 5));
    rig.init(0, b"");
    account
}

#[track_caller]
fn says(account: &FaultAccount, what: &[&str], advice: &str) {
    for part in what {
        assert!(account.what.contains(part), "{:?} lacks {part:?}", account.what);
    }
    assert!(account.advice.contains(advice), "{:?} lacks {advice:?}", account.advice);
}

#[test]
fn each_fault_says_what_happened_and_what_to_do() {
    let mut rig = Rig::new();
    let page = 1 << 16;
    let unreachable = ["agent_receive", "executed `unreachable`"];
    says(&account(&mut rig, &[order(20, [], b"")]), &unreachable, "panic_handler");
    let fuel = ["agent_receive used up the 1000000 fuel of one call"];
    says(&account(&mut rig, &[order(23, [], b"")]), &fuel, "limits.fuel_per_call");
    let depth = ["nested its calls too deep", "words"];
    says(&account(&mut rig, &[order(24, [], b"")]), &depth, "no key");
    let misuse = ["misused the host call publish", "payload, 1 bytes at 65536", "65536 bytes"];
    says(&account(&mut rig, &[order(2, [0, page, 1], b"")]), &misuse, "memory of the module");
    let code = ["agent_receive returned -1005", "own fault 5"];
    says(&account(&mut rig, &[order(26, [-1005_i64 as u64], b"")]), &code, "source");
    let others = [(22, page, "access out of bounds"), (21, 0, "arithmetic trap")];
    for (op, argument, text) in others {
        says(&account(&mut rig, &[order(op, [argument], b"")]), &[text], "mend the agent");
    }
    // A refused call that the code comes from is named with its argument and its status.
    let refused = [naming(15, b"no/such"), order(26, [-2_i64 as u64], b"")];
    let unknown = account(&mut rig, &refused);
    says(&unknown, &["returned -2 (Unknown: no such name or handle)"], "configure a topic");
    assert!(!unknown.what.contains("no/such"), "that call was another function's: {unknown:?}");
    let wat = PROBE.replace(
        "(i32.const 0))))\n\n  (func $agent_shutdown",
        "(call $topic (i32.const 9000) (i32.const 7)))))\n  (data (i32.const 9000) \"no/such\")\n
        (func $agent_shutdown",
    );
    let mut rig = Rig::of(&wat, &setup());
    assert_eq!(rig.init(0, b"").result.fault, fault::NEGATIVE_CODE);
    let account = rig.lane.faults().take().pop().expect("an account");
    says(&account, &["agent_init returned -2", "topic(name = \"no/such\")"], "configure");
}

#[test]
fn a_right_that_is_missing_and_a_bad_inbox_say_so() {
    let mut rig = Rig::of(PROBE, &setup());
    rig.init(1, b"");
    let turn = rig.step_with(&[order(18, [1], b"")], |command| command.template = 1);
    assert_eq!(turn.result.fault, fault::MISUSE);
    let account = rig.lane.faults().take().pop().expect("an account");
    says(&account, &["random", "not the right"], "declare");
    let wat = PROBE.replace("1024) (; INBOX ;)", "1025)");
    let mut rig = Rig::of(&wat, &setup());
    rig.init(0, b"");
    let account = rig.lane.faults().take().pop().expect("an account");
    says(&account, &["agent_inbox named a bad inbox", "at 1025", "multiple of 8"], "inbox");
    let template = Template { fuel_per_call: 90, ..setup().templates[0].clone() };
    let mut poor = Rig::of(PROBE, &Setup { templates: vec![template], ..setup() });
    poor.init(0, b"");
    poor.one(publishing(0, b""));
    let account = poor.lane.faults().take().pop().expect("an account");
    says(&account, &["90 fuel"], "limits.fuel_per_call");
}

/// `panic` answers 0, has no effect, and is in no digest; its message is shown with the fault of
/// the function that said it, and else with none.
#[test]
fn a3_9_a_panic_message_is_shown_with_its_fault_and_decides_nothing() {
    let saying = |text: &[u8], trap| order(30, [BYTES_AT, text.len() as u64, trap], text);
    let mut rig = Rig::new();
    let with = account(&mut rig, &[saying(b"thirty is too many: 12.9", 1)]);
    says(&with, &["agent_receive panicked: thirty is too many: 12.9"], "stack");
    assert_eq!(with.message.as_deref(), Some("thirty is too many: 12.9"));
    // Said in a function that returned, it is nobody's.
    let without = account(&mut rig, &[saying(b"never mind", 0), order(20, [], b"")]);
    assert_eq!(without.message, None);
    let digests = [&b"one"[..], b"two"].map(|text| {
        let mut rig = Rig::new();
        let turn = rig.one(saying(text, 1));
        (turn.result.digest, turn.result.seq, turn.result.fuel)
    });
    assert_eq!(digests[0], digests[1], "what was said decides nothing");
    let mut rig = Rig::new();
    let turn = rig.one(saying(b"fine", 0));
    assert_eq!((turn.answer(), turn.effects.len()), (0, 0));
    let long = vec![b'x'; 1025];
    assert_eq!(rig.one(saying(&long, 0)).answer(), -3, "longer than a log line");
}

#[test]
fn the_trace_names_functions_and_offsets_of_the_module_as_given() {
    let mut rig = Rig::new();
    let account = account(&mut rig, &[order(20, [], b"")]);
    let [inner, outer] = &account.backtrace[..] else { panic!("{:?}", account.backtrace) };
    let offset = |frame: &str, name: &str| {
        let at = frame.strip_prefix(name).and_then(|rest| rest.strip_prefix(" at 0x"));
        usize::from_str_radix(at.expect("name and offset"), 16).expect("a number")
    };
    let module = wasm(PROBE);
    assert_eq!(module[offset(inner, "acts")], 0x00, "the instruction `unreachable`");
    // Exported without a name of its own, and with a `return` before the call.
    let index = outer.split(" at").next().expect("a name").to_owned();
    assert!(index.starts_with("function "), "{outer}");
    assert_eq!(module[offset(outer, &index)], 0x10, "the instruction `call`");
}

#[test]
fn what_a_faulted_turn_logged_is_kept_beside_it() {
    let mut rig = Rig::new();
    let log = |text: &[u8]| order(14, [3, BYTES_AT, text.len() as u64], text);
    let account = account(&mut rig, &[log(b"first"), log(b"second"), order(20, [], b"")]);
    assert_eq!(account.lines, [(3, "first".to_owned()), (3, "second".to_owned())]);
    // Without a fault nothing is kept.
    rig.one(log(b"third"));
    assert!(rig.lane.faults().take().is_empty());
}

#[test]
fn accounts_are_in_the_order_of_the_plan_and_bounded() {
    let mut rig = Rig::new();
    for position in (0..200).rev() {
        let command = TurnCommand { position, ..rig.command(turn::INIT) };
        let command = TurnCommand { args_len: 4, ..command };
        rig.run(&command, &[], &(-7_i32).to_le_bytes());
    }
    let accounts = rig.lane.faults().take();
    let positions: Vec<u32> = accounts.iter().map(|a| a.command.position).collect();
    assert_eq!((positions.len(), positions.is_sorted()), (64, true));
}
