//! Faults shown to the operator: one warning for each agent's first, a bounded number of them, and
//! the first of all for the report. Physical: it decides nothing and is the same in a live run, a
//! replay and a resumed run.

use std::collections::BTreeSet;

use wasm_engine_abi::{AgentId, calls::Status, frame::fault, plain::PlainText};
use wasm_engine_guest::FaultAccount;
use wasm_engine_setup::Setup;

use crate::report::FaultReport;

/// Agents whose first fault is shown; of those behind them only the number is.
const WARNINGS_MAX: usize = 10;

/// What was shown of faults so far.
#[derive(Debug, Default)]
pub(crate) struct FaultNews {
    /// The first of the run, also where it is executed again.
    pub(crate) first: Option<FaultReport>,
    /// Addresses of the agents whose fault was shown.
    shown: BTreeSet<u64>,
    silent: bool,
}

impl FaultNews {
    /// Whether there was one that is new.
    pub(crate) fn any_new(&self) -> bool {
        !self.shown.is_empty()
    }

    /// Takes the fault of a turn that is executed again: the run that is resumed has shown it.
    pub(crate) fn take_old(&mut self, account: &FaultAccount, setup: &Setup) {
        if self.first.is_none() {
            self.first = Some(report(account, setup));
        }
    }

    /// Takes the fault of one turn that somebody else hears of.
    pub(crate) fn take_heard(&mut self, account: &FaultAccount, setup: &Setup) {
        self.take_old(account, setup);
        self.shown.insert(account.command.agent);
    }

    /// Takes the fault of one turn; gives whether it was shown with all that its turn logged.
    pub(crate) fn take(&mut self, account: &FaultAccount, setup: &Setup) -> bool {
        let address = account.command.agent;
        let new = !self.shown.contains(&address);
        if !new || self.shown.len() >= WARNINGS_MAX {
            if new && !std::mem::replace(&mut self.silent, true) {
                tracing::warn!(target: "agent", "further agents fault; the result counts them");
            }
            return false;
        }
        self.shown.insert(address);
        let report = report(account, setup);
        warn(&report);
        self.first.get_or_insert(report);
        true
    }
}

/// The account of a fault as a report shows it.
pub(crate) fn report(account: &FaultAccount, setup: &Setup) -> FaultReport {
    let command = &account.command;
    let id = AgentId::from_bits(command.agent);
    let status = account.code.and_then(Status::from_code);
    FaultReport {
        tick: command.tick,
        microstep: command.microstep,
        agent: setup.agent_name(id, command.template, command.copy).into_owned(),
        address: id.to_string(),
        function: account.function.to_owned(),
        fault: fault::text(account.fault).to_owned(),
        code: account.code,
        status: status.map(|status| format!("{status:?}")),
        message: account.message.clone(),
        what: account.what.clone(),
        advice: account.advice.clone(),
        backtrace: account.backtrace.clone(),
        lines: account.lines.iter().map(|(_, text)| text.clone()).collect(),
    }
}

fn warn(report: &FaultReport) {
    let FaultReport { tick, agent, what, advice, backtrace, lines, .. } = report;
    for line in lines {
        tracing::warn!(
            target: "agent",
            "{} in tick {tick}, in the turn that faults: {}", PlainText(agent), PlainText(line)
        );
    }
    let stack = backtrace.join(" < ");
    let stack = if stack.is_empty() { stack } else { format!("; in {stack}") };
    let (agent, what, stack) = (PlainText(agent), PlainText(what), PlainText(&stack));
    tracing::warn!(target: "agent", "{agent} faulted in tick {tick}: {what}{stack}; {advice}");
}
