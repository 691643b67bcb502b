//! Topics and channels: who gets what is said there (SEMANTICS C2).

use std::collections::BTreeMap;

use crate::codec::{CheckpointError, Coded, Reader, ensure, put_count};

/// One who gets what is said on a topic or channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Number of its entry: they ascend.
    entry: u64,
    /// Its slot, or [`GONE`].
    agent: u32,
    /// The agent's own sequence of its last subscription or join.
    pub(crate) seq: u64,
}

/// Slot of an entry that has ended: it keeps its position until enough of them are cleared away, so
/// that an end costs no walk over all that stay.
const GONE: u32 = u32::MAX;

/// The members of one topic or channel, in the order in which they entered.
#[derive(Debug, Default)]
pub(crate) struct Members {
    list: Vec<Member>,
    gone: usize,
    next_entry: u64,
}

impl Members {
    /// Entries, ended ones among them: the range of [`Members::get`].
    #[inline]
    pub(crate) fn entries(&self) -> usize {
        self.list.len()
    }

    /// Who is a member.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.list.len() - self.gone
    }

    /// Slot and sequence of the member at `at`, unless it has left.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<(u32, u64)> {
        let Member { agent, seq, .. } = self.list[at];
        (agent != GONE).then_some((agent, seq))
    }

    /// `agent`, which is no member, becomes the last one; gives the number of its entry.
    pub(crate) fn enter(&mut self, agent: u32, seq: u64) -> u64 {
        let entry = self.next_entry;
        self.next_entry += 1;
        self.list.push(Member { entry, agent, seq });
        entry
    }

    fn find(&mut self, entry: u64) -> Option<&mut Member> {
        let at = self.list.binary_search_by_key(&entry, |member| member.entry).ok()?;
        Some(&mut self.list[at])
    }

    /// The member of this entry has entered again: it stays where it is.
    pub(crate) fn renew(&mut self, entry: u64, seq: u64) {
        if let Some(member) = self.find(entry) {
            member.seq = seq;
        }
    }

    /// The member of this entry leaves.
    pub(crate) fn leave(&mut self, entry: u64) {
        let Some(member) = self.find(entry) else { return };
        if std::mem::replace(&mut member.agent, GONE) != GONE {
            self.gone += 1;
        }
        if self.gone > self.list.len() / 2 {
            self.list.retain(|member| member.agent != GONE);
            self.gone = 0;
        }
    }
}

impl Coded for Members {
    /// Who is a member, in their order: numbers of entries are only compared.
    fn put(&self, into: &mut Vec<u8>) {
        let Self { list: _, gone: _, next_entry: _ } = self;
        put_count(self.len(), into);
        for member in (0..self.entries()).filter_map(|at| self.get(at)) {
            member.put(into);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        let mut members = Self::default();
        for (agent, seq) in Vec::<(u32, u64)>::take(from)? {
            members.enter(agent, seq);
        }
        Ok(members)
    }
}

/// Where an agent is a member: of a topic or channel, by the number of its entry.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    pub(crate) topics: BTreeMap<u32, u64>,
    pub(crate) channels: BTreeMap<u128, u64>,
}

impl Memberships {
    pub(crate) fn len(&self) -> usize {
        self.topics.len() + self.channels.len()
    }
}

/// Who subscribes to what, in the order of subscription.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    topics: Vec<Members>,
    channels: BTreeMap<u128, Members>,
}

impl Subscriptions {
    pub(crate) fn new(topics: usize) -> Self {
        Self {
            topics: (0..topics).map(|_| Members::default()).collect(),
            channels: BTreeMap::new(),
        }
    }

    /// Appends who is where; agents know it from here.
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        let Self { topics, channels } = self;
        topics.put(into);
        put_count(channels.len(), into);
        for (channel, members) in channels {
            channel.put(into);
            members.put(into);
        }
    }

    /// Reads them, of so many topics.
    pub(crate) fn take(topics: usize, from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        let own = Vec::<Members>::take(from)?;
        ensure(own.len() == topics, "it has another number of topics")?;
        let mut channels = BTreeMap::new();
        for (channel, members) in Vec::<(u128, Members)>::take(from)? {
            let follows = channels.last_key_value().is_none_or(|(last, _)| *last < channel);
            ensure(follows && members.len() > 0, "channels are out of order or empty")?;
            channels.insert(channel, members);
        }
        Ok(Self { topics: own, channels })
    }

    /// Calls `each` with every membership: the agent's slot, the topic or channel, the entry.
    pub(crate) fn each(
        &self,
        mut each: impl FnMut(u32, Result<u32, u128>, u64) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        for (topic, members) in (0..).zip(&self.topics) {
            members.list.iter().try_for_each(|m| each(m.agent, Ok(topic), m.entry))?;
        }
        for (channel, members) in &self.channels {
            members.list.iter().try_for_each(|m| each(m.agent, Err(*channel), m.entry))?;
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn topic(&self, topic: u32) -> &Members {
        &self.topics[topic as usize]
    }

    #[inline]
    pub(crate) fn topic_mut(&mut self, topic: u32) -> &mut Members {
        &mut self.topics[topic as usize]
    }

    /// A channel that somebody is a member of.
    pub(crate) fn channel(&self, channel: u128) -> Option<&Members> {
        self.channels.get(&channel)
    }

    /// A channel that gets its next member.
    pub(crate) fn channel_mut(&mut self, channel: u128) -> &mut Members {
        self.channels.entry(channel).or_default()
    }

    /// The member of this entry leaves; a channel without members is forgotten.
    pub(crate) fn leave_channel(&mut self, channel: u128, entry: u64) {
        if let Some(members) = self.channels.get_mut(&channel) {
            members.leave(entry);
            if members.len() == 0 {
                self.channels.remove(&channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_6_members_keep_their_order_however_many_come_and_go() {
        let (mut members, mut expected) = (Members::default(), Vec::<(u64, u32, u64)>::new());
        let mut state = 7_u64;
        for round in 0..2000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = (state >> 33) as usize;
            if !expected.is_empty() && !draw.is_multiple_of(3) {
                let (entry, ..) = expected.remove(draw % expected.len());
                members.leave(entry);
                members.leave(entry);
            } else {
                let seq = u64::from(round) + 100;
                expected.push((members.enter(round, seq), round, seq));
            }
            if let Some(first) = expected.first_mut().filter(|_| draw.is_multiple_of(5)) {
                first.2 += 1;
                members.renew(first.0, first.2);
            }
            let found = (0..members.entries()).filter_map(|at| members.get(at));
            assert!(found.eq(expected.iter().map(|(_, agent, seq)| (*agent, *seq))));
            assert_eq!(members.len(), expected.len());
            assert!(members.entries() <= 2 * expected.len() + 1, "ended entries do not pile up");
        }
    }
}
