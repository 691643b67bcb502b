//! Scenes: who is there, with which topics, models and limits.

use wasm_engine_setup::{
    AgentSetup, Limits, LoadOn, ModelSetup, Policy, Restart, Schedule, Setup, SourceSetup,
    Template, TopicSetup,
};

use crate::program::{Prog, prog};

/// Everything a guest can ask for.
pub const ALL: &[&str] = &[
    "send",
    "timer",
    "lifecycle",
    "random",
    "schedule",
    "log",
    "publish:**",
    "subscribe:**",
    "channel:**",
    "infer:**",
    "spawn:**",
];

/// Topics of every scene; agent `i` of the scene subscribes to `CMD + i`.
pub const OUT: u32 = 0;
pub const ECHO: u32 = 1;
pub const REFUSE: u32 = 2;
pub const DROP_OLDEST: u32 = 3;
pub const DROP_NEWEST: u32 = 4;
pub const LATEST: u32 = 5;
pub const CMD: u32 = 6;

/// A setup in the making.
#[derive(Clone, Debug)]
pub struct Scene {
    pub setup: Setup,
    /// By template.
    pub guests: Vec<Guest>,
}

/// The inbox that a variant of the scripted agent names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Guest {
    pub inbox: i32,
    pub capacity: i32,
}

impl Default for Guest {
    fn default() -> Self {
        Self { inbox: 16384, capacity: 16384 }
    }
}

impl Scene {
    /// `agents` agents of one template, each of which echoes and takes programs on its own topic.
    pub fn of(agents: u32) -> Self {
        let mut scene = Self::empty();
        scene.template("worker", Restart::Never);
        for _ in 0..agents {
            scene.agent(0, prog());
        }
        scene
    }

    pub fn empty() -> Self {
        let limits = Limits {
            agents_max: 64,
            answers_max: 64,
            effects_max: 128,
            payload_bytes_max: 16 << 10,
            memory_bytes_max: 128 << 10,
            ..Limits::default()
        };
        let mut scene = Self {
            setup: Setup {
                seed: 7,
                schedule: Schedule::Fifo,
                aging_ticks: 4,
                state_digest_ticks: 3,
                limits,
                topics: Vec::new(),
                sources: vec![SourceSetup { id: "host".to_owned(), live: false }],
                templates: Vec::new(),
                groups: Vec::new(),
                agents: Vec::new(),
                models: Vec::new(),
            },
            guests: Vec::new(),
        };
        for (name, policy, output) in [
            ("out", Policy::Refuse, true),
            ("echo", Policy::Refuse, true),
            ("refuse", Policy::Refuse, false),
            ("drop/oldest", Policy::DropOldest, false),
            ("drop/newest", Policy::DropNewest, false),
            ("latest", Policy::LatestOnly, false),
        ] {
            scene.setup.topics.push(TopicSetup::new(name, policy, output));
        }
        scene
    }

    pub fn template(&mut self, name: &str, restart: Restart) -> u32 {
        self.template_of(name, restart, Guest::default())
    }

    /// A template of a variant of the agent.
    pub fn template_of(&mut self, name: &str, restart: Restart, guest: Guest) -> u32 {
        self.guests.push(guest);
        self.setup.templates.push(Template {
            name: name.to_owned(),
            module: format!("{guest:?}"),
            capabilities: ALL.iter().map(|c| (*c).to_owned()).collect(),
            fuel_per_call: 1_000_000,
            priority: 0,
            restart,
        });
        self.setup.templates.len() as u32 - 1
    }

    /// An agent that echoes, subscribes to its own topic and then does `init`.
    pub fn agent(&mut self, template: u32, init: Prog) -> u32 {
        let number = self.setup.agents.len() as u32;
        let topic = CMD + number;
        let first = prog().echo(ECHO).subscribe(topic);
        let name = format!("cmd/{number}");
        self.setup.topics.push(TopicSetup::new(name, Policy::Refuse, false));
        self.raw_agent(template, &first.then(&init))
    }

    pub fn raw_agent(&mut self, template: u32, init: &Prog) -> u32 {
        let of = |agent: &&AgentSetup| agent.template == template;
        let copy = self.setup.agents.iter().filter(of).count() as u32;
        let number = self.setup.agents.len() as u32;
        let (name, args) = (format!("agent/{number}"), init.args());
        self.setup.agents.push(AgentSetup { name, template, copy, group: None, args });
        number
    }

    /// Puts agents into one restart group.
    pub fn group(&mut self, name: &str, members: &[u32]) {
        let group = self.setup.groups.len() as u32;
        self.setup.groups.push(name.to_owned());
        for &member in members {
            self.setup.agents[member as usize].group = Some(group);
        }
    }

    /// A model of one `f32` in and one out.
    pub fn model(&mut self, name: &str, latency_ticks: u64) -> u32 {
        self.setup.models.push(ModelSetup {
            name: name.to_owned(),
            sha256: "00".repeat(32),
            latency_ticks,
            batch: 4,
            ..ModelSetup::of_rows(name, 1, 1)
        });
        let Setup { limits, models, .. } = &mut self.setup;
        limits.suit(models);
        self.setup.models.len() as u32 - 1
    }

    /// A version of a model that is loaded when `load` says, in 2 ticks, and takes so many bytes.
    pub fn model_of(&mut self, name: &str, version: u64, load: LoadOn, memory_bytes: u64) -> u32 {
        let index = self.model(name, 1);
        let model = &mut self.setup.models[index as usize];
        model.version = Some(version);
        (model.load, model.load_ticks, model.memory_bytes) = (load, 2, memory_bytes);
        index
    }

    pub fn limits(&mut self) -> &mut Limits {
        &mut self.setup.limits
    }
}
