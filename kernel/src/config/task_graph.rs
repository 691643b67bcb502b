//! The graph of the tasks of a configuration: its checks and its order (SEMANTICS A12.13).

use std::collections::{BTreeMap, BTreeSet};

use wasm_engine_abi::task::TaskHeader;

use crate::config::{error::ConfigError, nearest::did_you_mean, tables::Config, tasks::TaskConfig};
use crate::sources::{COMMAND_BYTES_PER_TICK_MAX, COMMANDS_PER_TICK_MAX, CommandRoom};

/// Positions of the tasks in an order in which each comes behind all that it waits for: by tick,
/// then by the order of the file where that is free. Or positions of a circle, each of which waits
/// for the next one, and the last for the first.
pub(crate) fn order(tasks: &[TaskConfig]) -> Result<Vec<usize>, Vec<usize>> {
    let named: BTreeMap<&str, usize> =
        tasks.iter().zip(0..).map(|(task, at)| (task.name.as_str(), at)).collect();
    let before = |at: usize| tasks[at].after.iter().filter_map(|name| named.get(name.as_str()));
    let mut waits: Vec<usize> = (0..tasks.len()).map(|at| before(at).count()).collect();
    let mut followers = vec![Vec::new(); tasks.len()];
    for at in 0..tasks.len() {
        before(at).for_each(|other| followers[*other].push(at));
    }
    let mut free: BTreeSet<(u64, usize)> =
        (0..tasks.len()).filter(|at| waits[*at] == 0).map(|at| (tasks[at].tick, at)).collect();
    let mut order = Vec::with_capacity(tasks.len());
    while let Some((_, at)) = free.pop_first() {
        order.push(at);
        for &follower in &followers[at] {
            waits[follower] -= 1;
            if waits[follower] == 0 {
                free.insert((tasks[follower].tick, follower));
            }
        }
    }
    let Some(mut at) = (0..tasks.len()).find(|at| waits[*at] > 0) else { return Ok(order) };
    // Who is left waits for somebody who is left, so this path meets itself.
    let mut path = Vec::new();
    loop {
        if let Some(first) = path.iter().position(|other| *other == at) {
            return Err(path.split_off(first));
        }
        path.push(at);
        match before(at).find(|other| waits[**other] > 0) {
            Some(next) => at = *next,
            None => return Err(path),
        }
    }
}

impl Config {
    /// Each task can be one, waits for known ones, and the graph has no circle.
    pub(super) fn check_tasks(&self) -> Result<(), ConfigError> {
        self.check_unique("task", "name", self.task.iter().map(|task| &task.name))?;
        let ticks: BTreeMap<&str, u64> =
            self.task.iter().map(|task| (task.name.as_str(), task.tick)).collect();
        for task in &self.task {
            let key = |key: &str| format!("task.{}.{key}", task.name);
            self.check_tick(&key("tick"), task.tick)?;
            let max = TaskHeader::ATTEMPTS_MAX;
            if !(1..=max).contains(&task.attempts) {
                let problem = format!("is {}, it must be from 1 to {max}", task.attempts);
                return Err(self.value_error(key("attempts"), problem));
            }
            let after = self.check_after(task, &ticks);
            after.map_err(|problem| self.value_error(key("after"), problem))?;
        }
        self.check_tasks_of_ticks()?;
        let Err(circle) = order(&self.task) else { return Ok(()) };
        let mut named: Vec<_> =
            circle.iter().map(|at| format!("`{}`", self.task[*at].name)).collect();
        named.extend(named.first().cloned());
        let problem = format!("closes a circle, each waits for the next: {}", named.join(" -> "));
        Err(self.value_error(format!("task.{}.after", self.task[circle[0]].name), problem))
    }

    /// A task waits for known ones, of its own tick or earlier ones: `ticks` has those of all.
    fn check_after(&self, task: &TaskConfig, ticks: &BTreeMap<&str, u64>) -> Result<(), String> {
        let most = self.limits.dependencies_max;
        if task.after.len() > most as usize {
            let count = task.after.len();
            return Err(format!("names {count} tasks, more than limits.dependencies_max, {most}"));
        }
        for name in &task.after {
            let Some(tick) = ticks.get(name.as_str()) else {
                let near = did_you_mean(name, self.task.iter().map(|task| task.name.as_str()));
                return Err(format!("names `{name}`{near}, which is no [[task]]"));
            };
            if *tick > task.tick {
                return Err(format!(
                    "names `{name}`, which is scheduled later, in tick {tick}; give this task \
                     that tick too"
                ));
            }
        }
        Ok(())
    }

    /// No tick has more of them, with its commands, than the log has room for.
    fn check_tasks_of_ticks(&self) -> Result<(), ConfigError> {
        let mut rooms = BTreeMap::<u64, CommandRoom>::new();
        let commands = self.command.iter().map(|command| (command.tick, command.args.len()));
        let tasks = self.task.iter().map(|task| (task.tick, task.bytes_len()));
        for (tick, bytes) in commands.chain(tasks) {
            if !rooms.entry(tick).or_default().take(bytes) {
                let problem = format!(
                    "of tick {tick} are, with its commands, more than {COMMANDS_PER_TICK_MAX} or \
                     longer than {COMMAND_BYTES_PER_TICK_MAX} bytes; spread them"
                );
                return Err(self.value_error("[[task]]", problem));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tasks::OnFailure;

    fn task(name: &str, tick: u64, after: &[&str]) -> TaskConfig {
        TaskConfig {
            name: name.to_owned(),
            agent: "a".to_owned(),
            tick,
            priority: 0,
            attempts: 1,
            on_failure: OnFailure::Fail,
            after: after.iter().map(|name| (*name).to_owned()).collect(),
            payload: String::new(),
        }
    }

    #[test]
    fn a12_13_the_order_is_topological_and_else_that_of_ticks_and_the_file() {
        let tasks = [
            task("d", 2, &["c", "a"]),
            task("c", 2, &["b"]),
            task("b", 1, &[]),
            task("a", 1, &["b", "b"]),
            task("e", 1, &[]),
        ];
        assert_eq!(order(&tasks), Ok(vec![2, 3, 4, 1, 0]));
    }

    #[test]
    fn a12_13_a_circle_is_found_without_what_leads_to_it() {
        let tasks = [
            task("leads to it", 1, &["free", "x"]),
            task("free", 1, &[]),
            task("x", 1, &["free", "y"]),
            task("y", 1, &["z"]),
            task("z", 1, &["x"]),
        ];
        assert_eq!(order(&tasks), Err(vec![2, 3, 4]));
        assert_eq!(order(&[task("own", 1, &["own"])]), Err(vec![0]));
    }

    #[test]
    fn a12_13_random_graphs_have_a_topological_order() {
        let mut number = 1_u64;
        for round in 0..200 {
            let mut next = |end: u64| {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (number >> 33) % end
            };
            let tasks: Vec<_> = (0..30)
                .map(|at| {
                    // Later ones only, so that there is no circle.
                    let after: Vec<_> = (0..next(4))
                        .map(|_| format!("{}", at + 1 + next(9)))
                        .filter(|name| name.parse().is_ok_and(|at: u64| at < 30))
                        .collect();
                    let after: Vec<_> = after.iter().map(String::as_str).collect();
                    task(&at.to_string(), 1, &after)
                })
                .collect();
            let order = order(&tasks).expect("no circle");
            let slot = |at: usize| order.iter().position(|other| *other == at);
            for (at, task) in tasks.iter().enumerate() {
                for name in &task.after {
                    let before = name.parse().expect("a number");
                    assert!(slot(before) < slot(at), "round {round}: {name} before {at}");
                }
            }
            assert_eq!(order.len(), tasks.len());
        }
    }
}
