//! Commands of the host, applied at open (SEMANTICS T3, T7): each has exactly one outcome, which is
//! digested and told to the host.

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    record::{CommandFact, action},
};

use crate::{
    agents::host_key,
    environment::{CommandOutcome, Environment, Sink},
    open_error::OpenError,
    state::Core,
    tick_digest::event,
    tick_open::input_trace,
};

impl Core {
    /// Applies one command; `args` are those of an agent to spawn, or a task.
    pub(crate) fn command(
        &mut self,
        command: CommandFact,
        args: &[u8],
        env: &mut impl Environment,
    ) -> Result<(), OpenError> {
        let CommandFact { seq, action, subject } = command;
        let tick = self.tick;
        let unknown = || OpenError::UnknownCommand { tick, seq, action };
        if tick == 0 {
            return Err(OpenError::CommandInTickZero);
        }
        // Each of the two kinds is numbered without a gap: no two have one number.
        let next = &mut self.next_commands[usize::from(command.is_live())];
        if seq != *next {
            return Err(OpenError::UnexpectedCommand { tick, seq });
        }
        *next = seq.checked_add(1).ok_or_else(unknown)?;
        let position = |len: usize| match u32::try_from(subject) {
            Ok(position) if (position as usize) < len => Ok(position),
            _ => Err(unknown()),
        };
        let models = self.setup.models.len();
        let agent = AgentId::from_bits(subject);
        let (status, agent) = match action {
            action::TERMINATE => (self.terminate(agent, env), agent),
            action::PAUSE => (self.set_paused(agent, true), agent),
            action::RESUME => (self.set_paused(agent, false), agent),
            action::SPAWN => {
                if args.len() > self.setup.limits.payload_bytes_max as usize {
                    return Err(OpenError::Exceeds { tick, what: "longer arguments" });
                }
                self.spawn_on_command(position(self.setup.templates.len())?, seq, args)
            }
            action::SCHEDULE => {
                if args.len() > self.setup.limits.payload_bytes_max as usize {
                    return Err(OpenError::Exceeds { tick, what: "a longer task" });
                }
                let trace = input_trace(AgentId::NONE.to_bits(), seq);
                (self.schedule_on_command(seq, agent, trace, args, env), agent)
            }
            action::LOAD => (self.load_on_command(position(models)?, env), AgentId::NONE),
            action::UNLOAD => (self.unload_on_command(position(models)?, env), AgentId::NONE),
            action::SWAP => (self.swap_model(position(models)?), AgentId::NONE),
            _ => return Err(unknown()),
        };
        let code = u64::from((status as i32).unsigned_abs());
        self.chain.event_of_two(event::COMMANDED, seq, action.into(), code);
        env.sink().commanded(&CommandOutcome { tick, command, status, agent });
        Ok(())
    }

    fn spawn_on_command(&mut self, template: u32, seq: u64, args: &[u8]) -> (Status, AgentId) {
        let key = host_key(&self.setup.templates[template as usize].name, seq);
        let Some(index) = self.agents.create(template, seq as u32, key, args.to_vec()) else {
            return (Status::NoSlot, AgentId::NONE);
        };
        self.mark_dirty(index);
        let id = self.agents.id(index);
        self.chain.event(event::SPAWNED, id.to_bits(), key);
        self.make_runnable(index);
        (Status::Ok, id)
    }
}
