//! What an agent may do: its template's capabilities, resolved once against the configured names.
//!
//! Why: a host call answers from static rights alone (SEMANTICS A3), millions of times, so the
//! question "may this template publish on topic 17" must cost one bit test. Patterns over topics,
//! models and templates are therefore matched when a run is loaded; only channels, whose names
//! agents make up, are matched when they are named. That takes as long as the patterns are, and is
//! paid for in fuel (SEMANTICS A3.8).
//!
//! What this does not do: it does not decide which capabilities are granted; a
//! [`Template`] holds only those in force.

use wasm_engine_abi::short::short_name;

use crate::admission::{Capability, Pattern};
use wasm_engine_setup::{Setup, Template};

/// Why the rights of a template could not be resolved.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "template {} has the capability `{}`, which cannot be read: {reason}",
    short_name(.template), short_name(.text)
)]
pub struct RightsError {
    /// Name of the template.
    pub template: String,
    /// The capability as written.
    pub text: String,
    /// What is wrong with it and what to write instead.
    pub reason: String,
}

/// A set of handles, one bit each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct HandleSet(Box<[u64]>);

impl HandleSet {
    fn collect(bits: impl ExactSizeIterator<Item = bool>) -> Self {
        let mut words = vec![0_u64; bits.len().div_ceil(64)];
        for (handle, allowed) in bits.enumerate() {
            words[handle / 64] |= u64::from(allowed) << (handle % 64);
        }
        Self(words.into_boxed_slice())
    }

    #[inline]
    fn has(&self, handle: u32) -> bool {
        let word = self.0.get(handle as usize / 64).copied().unwrap_or(0);
        word >> (handle % 64) & 1 == 1
    }
}

/// The rights of one template.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rights {
    publish: HandleSet,
    subscribe: HandleSet,
    infer: HandleSet,
    spawn: HandleSet,
    channels: Vec<Pattern>,
    /// Fuel of asking whether a channel's name is covered: one for each byte of the patterns.
    pub(crate) channel_fuel: u64,
    /// May send to an address.
    pub(crate) send: bool,
    /// May set timers.
    pub(crate) timer: bool,
    /// May terminate, pause and resume agents.
    pub(crate) lifecycle: bool,
    /// May schedule tasks.
    pub(crate) schedule: bool,
    /// May draw random numbers.
    pub(crate) random: bool,
    /// May write log lines.
    pub(crate) log: bool,
    /// May make save points: its template restarts from them.
    pub(crate) save: bool,
}

impl Rights {
    /// The rights that `template` has among the topics, models and templates of `setup`.
    ///
    /// # Errors
    /// A capability that admission would not have let in.
    pub(crate) fn resolve(setup: &Setup, template: &Template) -> Result<Self, RightsError> {
        let capabilities = template
            .capabilities
            .iter()
            .map(|text| {
                Capability::parse(text).map_err(|refusal| RightsError {
                    template: template.name.clone(),
                    text: text.clone(),
                    reason: refusal.to_string(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let covers = |prefix: &str, name: &str| capabilities.iter().any(|c| c.covers(prefix, name));
        let topics =
            |prefix| HandleSet::collect(setup.topics.iter().map(|t| covers(prefix, &t.name)));
        let plain = |name: &str| {
            capabilities.iter().any(|c| matches!(c, Capability::Plain(own) if *own == name))
        };
        let channels = capabilities.iter().filter_map(|capability| match capability {
            Capability::Over("channel:", pattern) => Some(pattern.clone()),
            _ => None,
        });
        let channels: Vec<Pattern> = channels.collect();
        Ok(Self {
            publish: topics("publish:"),
            subscribe: topics("subscribe:"),
            infer: HandleSet::collect(
                setup.model_handles().iter().map(|m| covers("infer:", &m.name)),
            ),
            spawn: HandleSet::collect(setup.templates.iter().map(|t| covers("spawn:", &t.name))),
            channel_fuel: channels.iter().map(|pattern| pattern.as_str().len() as u64).sum(),
            channels,
            send: plain("send"),
            timer: plain("timer"),
            lifecycle: plain("lifecycle"),
            schedule: plain("schedule"),
            random: plain("random"),
            log: plain("log"),
            save: template.restart.saves().is_some(),
        })
    }

    /// May publish on this topic; `false` for a handle that names none.
    #[inline]
    pub(crate) fn publishes(&self, topic: u32) -> bool {
        self.publish.has(topic)
    }

    /// May subscribe to this topic.
    #[inline]
    pub(crate) fn subscribes(&self, topic: u32) -> bool {
        self.subscribe.has(topic)
    }

    /// May use this model.
    #[inline]
    pub(crate) fn infers(&self, model: u32) -> bool {
        self.infer.has(model)
    }

    /// May spawn from this template.
    #[inline]
    pub(crate) fn spawns(&self, template: u32) -> bool {
        self.spawn.has(template)
    }

    /// May join, leave and cast to the channel of this name.
    pub(crate) fn channel(&self, name: &str) -> bool {
        self.channels.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use wasm_engine_setup::{Limits, ModelSetup, Policy, Restart, Schedule, TopicSetup};

    /// A setup with these topics, models and templates, for the tests of this crate.
    pub(crate) fn setup(topics: &[&str], models: &[&str], templates: &[(&str, &[&str])]) -> Setup {
        Setup {
            seed: 42,
            schedule: Schedule::Fifo,
            aging_ticks: 8,
            state_digest_ticks: 64,
            limits: Limits::default(),
            topics: topics
                .iter()
                .map(|name| TopicSetup::new(*name, Policy::Refuse, false))
                .collect(),
            sources: Vec::new(),
            templates: templates
                .iter()
                .map(|(name, capabilities)| Template {
                    name: (*name).to_owned(),
                    module: String::new(),
                    capabilities: capabilities.iter().map(|c| (*c).to_owned()).collect(),
                    fuel_per_call: 1_000_000,
                    priority: 0,
                    restart: Restart::Never,
                })
                .collect(),
            groups: Vec::new(),
            agents: Vec::new(),
            models: models.iter().map(|name| ModelSetup::of_rows(name, 2, 1)).collect(),
        }
    }

    #[test]
    fn patterns_become_bits() {
        let topics: Vec<String> = (0..130).map(|n| format!("t/{n}")).collect();
        let mut names: Vec<&str> = topics.iter().map(String::as_str).collect();
        names.push("other");
        let capabilities =
            ["publish:t/*", "subscribe:t/129", "infer:m2", "spawn:b", "channel:room/**", "send"];
        let setup = setup(&names, &["m1", "m2"], &[("a", &capabilities), ("b", &[])]);
        let rights = Rights::resolve(&setup, &setup.templates[0]).expect("well-formed");
        assert!(rights.publishes(0) && rights.publishes(129) && !rights.publishes(130));
        assert!(rights.subscribes(129) && !rights.subscribes(128) && !rights.subscribes(u32::MAX));
        assert!(rights.infers(1) && !rights.infers(0));
        assert!(rights.spawns(1) && !rights.spawns(0));
        assert!(rights.channel("room/1/2") && !rights.channel("hall"));
        assert!(rights.send && !rights.timer && !rights.lifecycle && !rights.random && !rights.log);
        let none = Rights::resolve(&setup, &setup.templates[1]).expect("well-formed");
        assert!(!none.publishes(0) && !none.send && !none.channel("room/1"));
    }

    #[test]
    fn a3_8_asking_about_a_channel_costs_the_length_of_the_patterns() {
        let capabilities = ["channel:room/**", "channel:b/*", "publish:a-long-name/**", "send"];
        let setup = setup(&[], &[], &[("a", &capabilities), ("b", &["log"])]);
        let fuel = |template: &Template| {
            Rights::resolve(&setup, template).expect("well-formed").channel_fuel
        };
        assert_eq!(setup.templates.iter().map(fuel).collect::<Vec<_>>(), [10, 0]);
    }

    #[test]
    fn an_unreadable_capability_is_named() {
        let setup = setup(&[], &[], &[("a", &["fly"])]);
        let error = Rights::resolve(&setup, &setup.templates[0]).expect_err("unknown");
        assert!(error.to_string().contains("fly") && error.to_string().contains("template a"));
    }
}
